"""Sending again all of a merchant or of an endpoint since a time, with the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select, text, update

from cerber.audit.models import AuditEntry
from cerber.cli import webhooks as commands
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.webhooks import resending, selection
from cerber.webhooks.models import Breaker, Endpoint, Webhook
from tests.integration.cli.test_commands import assert_one_line, flask, run
from tests.support.clock import now
from tests.support.factories import CALLBACK, make_merchant, make_wallet, open_payment
from tests.support.shop import Shop, open_shop
from tests.support.workers import decide, states, until, worker

RESEND = ("webhook", "resend", "--merchant", "shop-1")
STARTED = now().replace(microsecond=0)


def ago(**how_long: float) -> datetime:
    return STARTED - timedelta(**how_long)


def resend(app: Flask, *arguments: str, since: datetime | None = None) -> dict[str, Any]:
    """Runs the command, for the last day where nothing else is said, and gives what it printed."""
    start = str(int((since or ago(days=1)).timestamp()))
    code, out, err = run(app, *RESEND, "--since", start, *arguments)
    assert (code, err) == (0, "")
    printed: dict[str, Any] = json.loads(out)
    return printed


def counts(printed: dict[str, Any]) -> tuple[int, int, int]:
    return printed["matched"], printed["sent_again"], printed["under_way"]


def make_endpoint(app: Flask, merch_id: str = "shop-1", origin: str = "http://127.0.0.1:9") -> int:
    with app.app_context():
        merchant_id = db.session.scalars(select(Merchant.id).filter_by(merch_id=merch_id)).one()
        endpoint = Endpoint(merchant_id=merchant_id, origin=origin, created_at=now())
        db.session.add(endpoint)
        db.session.commit()
        return endpoint.id


def put(app: Flask, endpoint_id: int, *events: dict[str, Any]) -> list[int]:
    """Events about balances, which need no payment: given up an hour ago after 13 attempts, if not said otherwise."""
    with app.app_context():
        endpoint = db.session.get_one(Endpoint, endpoint_id)
        first = (db.session.scalar(select(Webhook.id).order_by(Webhook.id.desc()).limit(1)) or 0) + 1
        rows = [_row(endpoint, first + number, event) for number, event in enumerate(events)]
        db.session.execute(insert(Webhook), rows)
        db.session.commit()
    return [row["id"] for row in rows]


def _row(endpoint: Endpoint, pk: int, event: dict[str, Any]) -> dict[str, Any]:
    at = event.get("created_at", ago(hours=1))
    state = event.get("state", "given_up")
    return {
        "id": pk,
        "event_id": f"evt_{pk:026}",
        "merchant_id": endpoint.merchant_id,
        "endpoint_id": endpoint.id,
        "payment_id": None,
        "kind": "balance",
        "url": f"{endpoint.origin}/hook",
        "body": f'{{"number": {pk}}}',
        "state": state,
        "due_at": at,
        "scheduled_at": at,
        "not_before": None,
        "queued_at": at,
        "lease": None,
        "attempts": 13,
        "by_hand": False,
        "once_key": None,
        "created_at": at,
        "closed_at": None if state == "due" else at,
    } | event


def hold(app: Flask, endpoint_id: int, **more: Any) -> None:
    held = {"failures": 7, "probes": 2, "why": "answered 500", "held_since": ago(hours=3), "probe_at": ago(hours=-1)}
    with app.app_context():
        db.session.execute(insert(Breaker), [{"endpoint_id": endpoint_id} | held | more])
        db.session.commit()


def webhooks(app: Flask, *ids: int) -> list[Webhook]:
    with app.app_context(), reading() as session:
        query = select(Webhook).order_by(Webhook.id)
        return list(session.scalars(query.where(Webhook.id.in_(ids)) if ids else query))


def everything(app: Flask) -> list[Sequence[Any]]:
    """All that a dry run may not change."""
    tables = ("webhooks", "breakers", "audit_entries")
    with app.app_context(), reading() as session:
        return [session.execute(text(f"SELECT * FROM {table} ORDER BY 1")).all() for table in tables]  # noqa: S608


def entries(app: Flask) -> list[tuple[str, dict[str, Any]]]:
    with app.app_context(), reading() as session:
        found = session.scalars(select(AuditEntry).filter_by(action="webhooks_resent").order_by(AuditEntry.id))
        return [(entry.actor, json.loads(entry.details)) for entry in found]


@pytest.fixture(autouse=True)
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine every run is a long one."""
    monkeypatch.setattr(commands, "TOLD_EVERY", 600)


@pytest.fixture
def endpoint(app: Flask) -> int:
    make_merchant(app)
    return make_endpoint(app)


@pytest.fixture
def shop() -> Iterator[tuple[Shop, str]]:
    with open_shop() as opened:
        yield opened


@pytest.mark.slow
def test_what_was_given_up_goes_out_again_with_the_same_bytes_and_id(
    app: Flask, env: dict[str, str], shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    make_wallet(app)
    keys = make_merchant(app)
    counter.statuses = [410, 410]
    for number in range(2):
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=url), 500_00)
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert states(app) == ["given_up", "given_up"]
    assert counts(resend(app)) == (2, 2, 0)
    assert states(app) == ["due", "due"]
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert states(app) == ["delivered", "delivered"]
    before, after = counter.arrivals[:2], counter.arrivals[2:]
    assert len(after) == 2
    for arrivals in (before, after):
        arrivals.sort(key=lambda arrival: arrival.body)
    assert [arrival.body for arrival in before] == [arrival.body for arrival in after]
    assert [arrival.headers["webhook-id"] for arrival in before] == [a.headers["webhook-id"] for a in after]
    assert all(arrival.is_signed_with(keys.payment_secret) for arrival in after)
    assert counts(resend(app)) == (0, 0, 0)  # delivered meanwhile


def test_by_default_what_was_not_delivered_and_on_request_all(app: Flask, endpoint: int) -> None:
    waits = {"state": "due", "due_at": ago(hours=-20)}
    given_up, delivered, waiting = put(app, endpoint, {}, {"state": "delivered"}, waits)
    assert counts(resend(app)) == (2, 2, 0)
    first, second, third = webhooks(app)
    assert [first.id, second.id, third.id] == [given_up, delivered, waiting]
    assert [webhook.state for webhook in (first, second, third)] == ["due", "delivered", "due"]
    assert [webhook.attempts for webhook in (first, second, third)] == [0, 13, 0]
    assert first.closed_at is None
    assert first.due_at == third.due_at <= now()
    assert (first.by_hand, third.by_hand) == (True, False)  # what still waited stays in its order
    assert counts(resend(app, "--delivered")) == (3, 3, 0)
    assert {webhook.state for webhook in webhooks(app)} == {"due"}


def test_left_alone_is_what_is_being_sent_or_was_asked_for_later(app: Flask, endpoint: int) -> None:
    sending = {"state": "due", "lease": "a" * 32, "due_at": now() + timedelta(seconds=20)}
    later = {"state": "due", "due_at": ago(hours=-1), "not_before": ago(hours=-1)}
    dead = {"state": "due", "lease": "b" * 32, "due_at": ago(minutes=1)}
    ids = put(app, endpoint, sending, later, dead, {"not_before": ago(minutes=30)})
    before = webhooks(app, *ids[:2])
    assert counts(resend(app)) == (2, 2, 2)
    after = webhooks(app, *ids[:2])
    assert [(w.lease, w.due_at, w.attempts) for w in before] == [(w.lease, w.due_at, w.attempts) for w in after]
    assert [(w.lease, w.not_before) for w in webhooks(app, *ids[2:])] == [(None, None)] * 2


def test_only_of_the_merchant_the_endpoint_and_the_time(app: Flask, endpoint: int) -> None:
    make_merchant(app, "shop-2")
    other_origin, other_merchant = make_endpoint(app, origin="https://b.example:443"), make_endpoint(app, "shop-2")
    times = [{"created_at": ago(hours=hours)} for hours in (30, 3, 2, 1)]
    old, third, second, first = put(app, endpoint, *times)
    (elsewhere,) = put(app, other_origin, {})
    put(app, other_merchant, {})

    def sent_again(*arguments: str, since: datetime | None = None) -> set[int]:
        with app.app_context():
            db.session.execute(update(Webhook).values(state="given_up", closed_at=ago(hours=1), by_hand=False))
            db.session.commit()
        matched = resend(app, *arguments, since=since)["matched"]
        found = {webhook.id for webhook in webhooks(app) if webhook.state == "due"}
        assert matched == len(found)
        return found

    assert sent_again() == {third, second, first, elsewhere}
    assert sent_again(since=ago(hours=40)) == {old, third, second, first, elsewhere}
    assert sent_again("--endpoint", "https://B.example:443/any/path") == {elsewhere}
    assert sent_again("--endpoint", CALLBACK) == {third, second, first}
    assert sent_again("--until", str(ago(hours=2)), since=ago(hours=3)) == {third, second}  # both ends are included
    assert sent_again(since=ago(hours=-1)) == set()


def test_a_time_without_a_zone_is_local_and_a_date_is_its_day(app: Flask, endpoint: int) -> None:
    put(app, endpoint, {})
    code, out, _ = run(app, *RESEND, "--since", "2026-11-23", "--until", "24.11.2026")
    assert code == 0
    printed = json.loads(out)
    assert (printed["since"], printed["until"]) == ("2026-11-22T20:00:00Z", "2026-11-24T19:59:59.999999Z")
    assert list(printed) == [
        *("merch_id", "endpoint", "since", "until", "delivered", "dry_run", "matched", "sent_again", "under_way")
    ]


def test_a_dry_run_counts_and_changes_nothing(app: Flask, endpoint: int) -> None:
    hold(app, endpoint)
    put(app, endpoint, {}, {"state": "delivered"}, {"state": "due", "due_at": ago(hours=-1)})
    before = everything(app)
    printed = resend(app, "--dry-run", "--delivered")
    assert (counts(printed), printed["dry_run"]) == ((3, 0, 0), True)
    assert everything(app) == before


def test_a_held_endpoint_is_tried_at_once(app: Flask, endpoint: int) -> None:
    other = make_endpoint(app, origin="https://b.example:443")
    hold(app, endpoint)
    hold(app, other)
    put(app, endpoint, {})
    resend(app)
    with app.app_context(), reading() as session:
        tried, untouched = session.scalars(select(Breaker).order_by(Breaker.endpoint_id))
    assert tried.probe_at <= now()
    assert untouched.probe_at > now()


def test_a_run_is_one_entry_in_the_audit_log(app: Flask, endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    put(app, endpoint, *[{}] * 5)
    resend(app, "--endpoint", CALLBACK)
    ((actor, details),) = entries(app)
    assert actor == "cli"
    assert (details["merch_id"], details["endpoint"], details["sent_again"]) == ("shop-1", "http://127.0.0.1:9", 5)
    resend(app, since=now())
    assert len(entries(app)) == 1  # nothing was sent again


def test_a_long_run_says_how_far_it_is_and_rises(app: Flask, endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    monkeypatch.setattr(commands, "TOLD_EVERY", 0)
    put(app, endpoint, *[{}] * 5)
    code, out, err = run(app, *RESEND, "--since", str(int(ago(days=1).timestamp())))
    assert (code, json.loads(out)["sent_again"]) == (0, 5)
    told = [
        re.match("([0-9]+) looked at, ([0-9]+) matched, ([0-9]+) sent again, now at 2", line)
        for line in err.splitlines()
    ]
    assert [match and match.groups() for match in told] == [(n, n, n) for n in "245"]
    due = [webhook.due_at for webhook in webhooks(app)]
    assert due == sorted(due)
    assert len(set(due)) == 3


def test_a_run_that_was_stopped_can_go_on(app: Flask, endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "BATCH", 2)
    times = [{"state": "delivered", "created_at": ago(minutes=60 - number)} for number in range(5)]
    put(app, endpoint, *times)
    send_again, calls = resending._send_again, []

    def stopped(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return send_again(*arguments)

    monkeypatch.setattr(resending, "_send_again", stopped)
    start = str(int(ago(days=1).timestamp()))
    code, out, err = run(app, *RESEND, "--since", start, "--delivered")
    assert (code, out) == (1, "")
    match = re.fullmatch(r"Error: Stopped: 2 looked at, 2 matched, 2 sent again\. Go on with --since (\S+)\n", err)
    assert match
    assert [webhook.state for webhook in webhooks(app)] == ["due"] * 2 + ["delivered"] * 3
    assert [details["sent_again"] for _, details in entries(app)] == [2]
    code, out, _ = run(app, *RESEND, "--since", match[1], "--delivered")
    assert json.loads(out)["matched"] == 4  # that from which it goes on once more
    assert {webhook.state for webhook in webhooks(app)} == {"due"}


def test_it_looks_at_nothing_that_is_much_older(app: Flask, endpoint: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resending, "BATCH", 10)
    old = [{"state": "delivered", "created_at": ago(days=3, minutes=-number)} for number in range(100)]
    recent = [{"state": "delivered", "created_at": ago(minutes=100 - number)} for number in range(100)]
    put(app, endpoint, *old, *recent)
    with app.app_context():
        which = selection.Which(ago(minutes=20), ago(minutes=15), delivered=True)
        steps = list(resending.run(selection.of_endpoint(endpoint), which, "cli"))
    assert steps[-1].matched == 6
    assert steps[-1].seen <= 40


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("--merchant nobody --since 2026-11-24", 1),
        ("--merchant shop-1 --since 2026-11-24 --endpoint https://other.example", 1),
        ("--merchant shop-1 --since 2026-11-24 --endpoint other", 2),
        ("--merchant shop-1 --since yesterday", 2),
        ("--merchant shop-1 --since 2026-11-24 --until 2026-02-30", 2),
        ("--merchant shop-1 --since 2026-11-24 --until 2026-11-23", 2),
        ("--merchant shop-1", 2),
        ("--since 2026-11-24", 2),
    ],
)
def test_a_mistake_is_told_in_one_line(app: Flask, endpoint: int, arguments: str, status: int) -> None:
    put(app, endpoint, {})
    code, out, err = run(app, "webhook", "resend", *arguments.split())
    assert (code, out) == (status, "")
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert [webhook.state for webhook in webhooks(app)] == ["given_up"]


@pytest.mark.slow
def test_many_are_sent_again_while_a_worker_sends(
    app: Flask, env: dict[str, str], shop: tuple[Shop, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, url = shop
    monkeypatch.setattr(resending, "BATCH", 50)
    make_merchant(app)
    endpoint = make_endpoint(app, origin=url.removesuffix("/hook"))
    put(app, endpoint, *[{}] * 300)
    with worker(env):
        assert resend(app)["matched"] == 300
        until(lambda: set(states(app)) == {"delivered"})
    ids = [arrival.headers["webhook-id"] for arrival in counter.arrivals]
    assert len(ids) == len(set(ids)) == 300


def test_a_database_that_is_away_is_told_in_one_line() -> None:
    command = "webhook resend --merchant shop-1 --since 2026-11-24"
    finished = flask(*command.split(), url="mysql+pymysql://cerber:password@127.0.0.1:1/cerber")
    assert_one_line(command, finished)
