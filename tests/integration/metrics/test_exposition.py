"""`/metrics`, scraped as Prometheus does, after real workers have sent to real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from cerber.app import create_app
from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.webhooks import resending
from cerber.webhooks.client.failures import Failure
from cerber.webhooks.models import Breaker, Figure, Webhook, Worker
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.worker.claims import Claim, Result
from cerber.webhooks.worker.counters import Uncounted, add
from tests.support.clock import now
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, make_merchant, make_wallet, open_payment
from tests.support.shop import Shop
from tests.support.workers import decide, states, until, worker

TOKEN = "the-token-of-a-scraper"


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_METRICS_TOKEN": TOKEN}


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    make_wallet(app)
    return make_merchant(app, "shop-of-nizami")


def scrape(app: Flask, authorization: str | None = f"Bearer {TOKEN}") -> TestResponse:
    headers = {} if authorization is None else {"Authorization": authorization}
    return app.test_client().get("/metrics", headers=headers)


def series(app: Flask) -> dict[str, float]:
    """Each sample by its name and label, such as `cerber_events_total accept`."""
    answer = scrape(app)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def run_workers(env: dict[str, str], count: int = 1) -> None:
    if count == 0:
        return
    with worker(env, "--once") as process:
        run_workers(env, count - 1)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_what_a_worker_did_is_shown(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [503]
    decide(app, open_payment(app, keys, callback_url=url), 200_00, 300_00)  # a change of the sum, then accepted
    decide(app, open_payment(app, keys, payment_id="2", callback_url="http://127.0.0.1:1/"), 500_00)
    before = series(app)
    assert before["cerber_events_total accept"] == before["cerber_attempts_total 2xx"] == 0
    assert before["cerber_delivery_seconds_count"] == 0
    with worker(env) as process:
        until(lambda: states(app) == ["delivered", "delivered", "given_up"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    shown = series(app)
    kinds = {kind: shown[f"cerber_events_total {kind}"] for kind in ("accept", "change_sum", "cancel", "balance")}
    assert kinds == {"accept": 2, "change_sum": 1, "cancel": 0, "balance": 0}
    outcomes = {name: shown[f"cerber_attempts_total {name}"] for name in ("2xx", "5xx", "refused", "own_side")}
    assert outcomes == {"2xx": 2, "5xx": 1, "refused": 3, "own_side": 0}
    assert (shown["cerber_first_attempt_seconds_count"], shown["cerber_delivery_seconds_count"]) == (3, 2)
    assert 0 < shown["cerber_first_attempt_seconds_sum"] < 60
    assert shown["cerber_delivery_seconds_sum"] > 0
    assert (shown["cerber_breakers closed_failing"], shown["cerber_breakers held"]) == (1, 0)
    assert shown["cerber_workers_alive"] == 0  # it said goodbye
    assert 0 <= shown["cerber_worker_heartbeat_age_seconds"] < 30
    for name in ("cerber_first_attempt_seconds", "cerber_delivery_seconds"):
        buckets = [value for key, value in shown.items() if key.startswith(f"{name}_bucket")]
        assert len(buckets) == 17
        assert buckets == sorted(buckets)
        assert buckets[-1] == shown[f"{name}_count"]


@pytest.mark.slow
def test_a_worker_that_goes_on_adds_what_it_counted_within_seconds(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    with worker(env):
        for number in ("1", "2"):  # the second one after the first was added
            decide(app, open_payment(app, keys, payment_id=number, callback_url=shop[1]), 500_00)
            until(lambda number=number: series(app)["cerber_events_total accept"] == int(number))


def test_a_worker_that_is_killed_takes_with_it_what_its_last_second_made_at_most(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    with worker(env) as process:
        for number in range(10):
            decide(app, open_payment(app, keys, payment_id=str(number), callback_url=shop[1]), 500_00)
        until(lambda: states(app) == ["delivered"] * 10)
        until(lambda: series(app)["cerber_events_total accept"] == 10, 5)  # a second, on a busy machine
        process.kill()
        process.wait()
    assert series(app)["cerber_attempts_total 2xx"] == series(app)["cerber_delivery_seconds_count"] == 10


@pytest.mark.slow
def test_two_workers_add_up_and_two_web_processes_show_the_same(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    for number in range(30):
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=shop[1]), 500_00)
    run_workers(env, count=2)
    decide(app, open_payment(app, keys, payment_id="late", callback_url=shop[1]), 500_00)
    run_workers(env)
    other = create_app(env)
    here, there = series(app), series(other)
    age = "cerber_worker_heartbeat_age_seconds"
    assert here.pop(age) <= there.pop(age)
    assert here == there
    for name in (
        "events_total accept",
        "attempts_total 2xx",
        "first_attempt_seconds_count",
        "delivery_seconds_count",
    ):
        assert here[f"cerber_{name}"] == 31
    assert here["cerber_workers_alive"] == 0  # each said goodbye
    dispose(other)


@pytest.mark.slow
def test_what_is_sent_again_by_hand_is_counted_as_an_attempt_only(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    decide(app, open_payment(app, keys, callback_url=shop[1]), 500_00)
    run_workers(env)
    with app.app_context():
        resending.one(db.session.scalars(select(Webhook.id)).one(), "operator:a")
    run_workers(env)
    shown = series(app)
    assert shown["cerber_attempts_total 2xx"] == 2
    assert shown["cerber_events_total accept"] == shown["cerber_delivery_seconds_count"] == 1


def test_events_that_wait_by_why_and_the_age_of_the_oldest_that_may_be_sent(app: Flask, keys: MerchantKeys) -> None:
    shown = series(app)
    assert shown["cerber_oldest_due_seconds"] == 0
    assert "cerber_worker_heartbeat_age_seconds" not in shown
    assert shown["cerber_workers_alive"] == 0
    for number, host in enumerate(("held", "behind", "open", "later")):
        key = open_payment(app, keys, payment_id=str(number), callback_url=f"http://{host}.example/")
        decide(app, key, 200_00, 300_00)
    with app.app_context():
        held, held_2, ahead, behind, due, due_2, later, later_2 = db.session.scalars(
            select(Webhook).order_by(Webhook.id)
        )
        for one in (held, held_2, behind):
            one.due_at = now() - timedelta(hours=2)
        for one in (ahead, later, later_2):
            one.due_at = now() + timedelta(hours=1)
        due.due_at = due_2.due_at = now() - timedelta(seconds=90)
        db.session.add(_breaker(held.endpoint_id, 5, is_held=True))
        db.session.add(_breaker(ahead.endpoint_id, 2, is_held=False))
        db.session.commit()
    shown = series(app)
    assert {name: shown[f"cerber_events_waiting {name}"] for name in ("due", "later", "held")} == {
        "due": 3,
        "later": 3,
        "held": 2,
    }
    assert 90 <= shown["cerber_oldest_due_seconds"] < 100
    assert (shown["cerber_breakers closed_failing"], shown["cerber_breakers held"]) == (1, 1)
    assert shown["cerber_endpoints_held"] == 1


def test_a_dead_worker_is_not_alive_and_its_age_grows_until_it_is_forgotten(app: Flask) -> None:
    with app.app_context():
        for age in (timedelta(seconds=90), timedelta(hours=30)):
            db.session.add(Worker(name="w", started_at=now() - age, heartbeat_at=now() - age))
        db.session.commit()
    shown = series(app)
    assert shown["cerber_workers_alive"] == 0
    assert 90 <= shown["cerber_worker_heartbeat_age_seconds"] < 100


def test_an_event_counts_at_the_first_attempt_that_costs_it_one(app: Flask) -> None:
    failed = Result(_claim(), now(), 5, {}, Outcome(None, Failure.refused), "", b"", None)
    own = replace(failed, outcome=Outcome(None, Failure.own_dns))
    probe = replace(failed, claim=_claim(probe=True))
    answered = replace(probe, outcome=Outcome(400, Failure.status))  # speaks of one order: it costs an attempt
    later = replace(failed, claim=_claim(attempts=1))
    assert [_events(app, one) for one in (own, probe, later, failed, answered)] == [0, 0, 0, 1, 2]


def test_counts_stay_while_the_database_is_away(app: Flask) -> None:
    away = create_app(ENV | {"CERBER_DATABASE_URL": "sqlite:////nowhere/at/all.db"})
    uncounted = Uncounted()
    uncounted.note([Result(_claim(), now(), 5, {}, Outcome(200, None), "", b"", None)])
    with away.app_context():
        uncounted.hand_in(at_once=True)
    with app.app_context():
        uncounted.hand_in()  # not yet: a database that is away is not asked all the time
    assert series(app)["cerber_attempts_total 2xx"] == 0
    with app.app_context():
        uncounted.hand_in(at_once=True)
        uncounted.hand_in(at_once=True)
    assert series(app)["cerber_attempts_total 2xx"] == 1


def test_totals_go_beyond_32_bits(app: Flask) -> None:
    with app.app_context():
        for _ in range(3):
            add({("milliseconds", "delivery"): 2**31, ("delivery", "+Inf"): 1})
        with reading() as session:
            assert session.scalar(select(Figure.value).filter_by(name="milliseconds")) == 3 * 2**31
    assert series(app)["cerber_delivery_seconds_sum"] == 3 * 2**31 / 1000


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}-", "Bearer ə"],
)
def test_without_the_token_nothing_is_shown(app: Flask, authorization: str | None) -> None:
    answer = scrape(app, authorization)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "cerber_" not in answer.text


def test_the_scheme_is_read_in_any_case(app: Flask) -> None:
    assert scrape(app, f"bearer {TOKEN}").status_code == 200


def test_without_a_token_set_there_is_no_such_page(database_url: str) -> None:
    app = create_app(ENV | {"CERBER_DATABASE_URL": database_url})
    for authorization in (None, "Bearer ", "Bearer None"):
        assert scrape(app, authorization).status_code == 404


def test_with_the_database_away_it_says_so(tmp_path: Path) -> None:
    settings = {"CERBER_DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/at/all.db"}
    app = create_app(ENV | settings | {"CERBER_METRICS_TOKEN": TOKEN})
    assert scrape(app).status_code == 503
    assert scrape(app, "Bearer wrong").status_code == 401


@pytest.mark.slow
def test_nothing_of_merchants_and_no_secret_is_shown(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    decide(app, open_payment(app, keys, payment_id="7531902", callback_url=shop[1]), 500_00)
    run_workers(env)
    text = scrape(app).text
    assert "cerber_events_total" in text
    with app.app_context(), reading() as session:
        event_id = session.scalars(select(Webhook.event_id)).one()
        assert session.scalars(select(Merchant.merch_id)).one() == keys.merch_id
    hidden = (keys.merch_id, keys.payment_secret, keys.balance_secret, "7531902", event_id, "127.0.0.1", TOKEN[:5])
    for secret in (*hidden, env["CERBER_SECRET_KEY"], env["CERBER_ENCRYPTION_KEYS"], env["CERBER_METRICS_TOKEN"]):
        assert secret not in text


def test_a_scrape_takes_few_statements_however_much_there_is(app: Flask, keys: MerchantKeys) -> None:
    for number in range(10):
        url = f"http://shop-{number}.example/"
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=url), 500_00)
    statements: list[str] = []
    with app.app_context():
        event.listen(db.engines["reads"], "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert series(app)["cerber_events_waiting due"] == 10
    assert len(statements) == 7


def test_a_process_that_nobody_scrapes_does_without_the_library(env: dict[str, str]) -> None:
    script = "import sys, wsgi; assert 'cerber.metrics' in sys.modules; assert 'prometheus_client' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, check=True, timeout=60)


def _breaker(endpoint_id: int, failures: int, *, is_held: bool) -> Breaker:
    at = now() if is_held else None
    return Breaker(endpoint_id=endpoint_id, failures=failures, probes=0, why="refused", held_since=at, probe_at=at)


def _claim(*, attempts: int = 0, probe: bool = False) -> Claim:
    """As far as one is read for the figures."""
    told = {"kind": "accept", "attempts": attempts, "by_hand": False, "created_at": now(), "probe": probe}
    return cast(Claim, SimpleNamespace(**told))


def _events(app: Flask, result: Result) -> float:
    uncounted = Uncounted()
    uncounted.note([result])
    with app.app_context():
        uncounted.hand_in(at_once=True)
    return series(app)["cerber_events_total accept"]
