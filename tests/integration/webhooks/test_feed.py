"""The list of a merchant's events, over HTTP and on each database: what it shows, and that no reader misses any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, insert, select, text, update
from werkzeug.test import TestResponse

from cerber import signing
from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments import decisions
from cerber.payments.models import Payment
from cerber.webhooks import feed, outbox
from cerber.webhooks.kinds import Kind
from cerber.webhooks.models import Webhook
from tests.support.clock import now
from tests.support.factories import CALLBACK, MerchantKeys, call, make_merchant, make_wallet, open_payment, send
from tests.support.shop import open_shop

MARIADB = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
AGES = timedelta(seconds=61)


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    make_wallet(app)
    return make_merchant(app)


def get_events(client: FlaskClient, keys: MerchantKeys, **fields: Any) -> TestResponse:
    return call(client, "GET", "get_events", keys.balance_secret, {"merch_id": keys.merch_id} | fields)


def shown(client: FlaskClient, keys: MerchantKeys, **fields: Any) -> list[str]:
    """The ids of the payments that the events are about."""
    answer = get_events(client, keys, **fields)
    assert answer.status_code == 200, answer.text
    return [str(happened["payment_id"]) for happened in answer.json["events"]]


def cancelled(app: Flask, keys: MerchantKeys, *payment_ids: str) -> None:
    """One event for each: the merchant's own cancel."""
    for payment_id in payment_ids:
        open_payment(app, keys, payment_id=payment_id)
        fields = {"payment_id": payment_id, "status": "cancel"}
        assert call(app.test_client(), "POST", "update_status", keys.payment_secret, fields).status_code == 200


def age(app: Flask) -> None:
    """Lets a minute pass since all that has happened so far."""
    with app.app_context():
        db.session.execute(update(Webhook).values(created_at=now() - AGES))
        db.session.commit()


def rows(app: Flask) -> list[Webhook]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(Webhook).order_by(Webhook.id)))


def put_after_gap(app: Flask, keys: MerchantKeys, payment_id: str) -> None:
    """An event whose internal id leaves one out, as after a rollback."""
    cancelled(app, keys, payment_id)
    with app.app_context():
        last = select(Webhook.id).order_by(Webhook.id.desc()).limit(1)
        pk = db.session.scalars(last).one()
        db.session.execute(update(Webhook).where(Webhook.id == pk).values(id=pk + 1))
        db.session.commit()


@contextmanager
def uncommitted(app: Flask, payment_pk: int) -> Iterator[None]:
    """While it lasts, another connection has put in an event about that payment and has not committed it."""
    put, finish = threading.Event(), threading.Event()

    def run() -> None:
        with app.app_context():
            outbox.enqueue(db.session.get_one(Payment, payment_pk), Kind.CHANGE_SUM, now())
            put.set()
            finish.wait(30)
            db.session.commit()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert put.wait(10)
        yield
    finally:
        finish.set()
        thread.join(30)


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with app.app_context():
        engines = list(db.engines.values())
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def test_each_event_is_told_with_the_text_that_is_sent(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    key = open_payment(app, keys)
    with app.app_context():
        decisions.record_transfer(key, 1, "operator:a", 200_00)
        decisions.record_transfer(key, 2, "operator:a", 300_00)
    cancelled(app, keys, "ödəniş 7")
    call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id, "callback_url": CALLBACK})
    age(app)
    answer = get_events(client, keys)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert list(answer.json) == ["events", "cursor", "has_more"]
    listed, sent = answer.json["events"], rows(app)
    about = [(e["kind"], e["payment_id"], e["state"], e["attempts"]) for e in listed]
    assert about == [
        ("change_sum", 3636363, "due", 0),
        ("accept", 3636363, "due", 0),
        ("cancel", "ödəniş 7", "due", 0),
        ("balance", None, "due", 0),
    ]
    assert [(e["webhook-id"], e["body"]) for e in listed] == [(row.event_id, row.body) for row in sent]
    assert listed[0]["body"] == '{"payment_id": 3636363, "confirm_sum": "200", "payment_sum": "500"}'
    assert all(e["time"].endswith("Z") and len(e["time"]) == 27 for e in listed)
    assert [datetime.fromisoformat(e["time"]) for e in listed] == [row.created_at for row in sent]
    assert (answer.json["cursor"], answer.json["has_more"]) == (sent[-1].event_id, False)


@pytest.mark.slow
def test_a_delivered_event_and_one_that_was_given_up(
    app: Flask, env: dict[str, str], client: FlaskClient, keys: MerchantKeys
) -> None:
    command = [sys.executable, "-m", "flask", "deliver", "--once"]
    with open_shop() as (counter, url):
        counter.statuses = [200, 410]
        for number in ("1", "2"):
            pk = open_payment(app, keys, payment_id=number, callback_url=url)
            with app.app_context():
                decisions.cancel(pk, 1, "operator:a")
            subprocess.run(command, cwd=ROOT, env=os.environ | env, check=True, timeout=60)
    age(app)
    listed = get_events(client, keys).json["events"]
    assert [(e["state"], e["attempts"]) for e in listed] == [("delivered", 1), ("given_up", 1)]
    assert [e["body"].encode() for e in listed] == [arrival.body for arrival in counter.arrivals]
    assert [e["webhook-id"] for e in listed] == [arrival.headers["webhook-id"] for arrival in counter.arrivals]


def test_pages_lead_to_the_end_and_on(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    cancelled(app, keys, *"12345")
    age(app)
    pages, cursor = [], None
    while True:
        answer = get_events(client, keys, limit=2, after=cursor).json
        pages.append([str(e["payment_id"]) for e in answer["events"]])
        cursor = answer["cursor"]
        if not answer["has_more"]:
            break
    assert pages == [["1", "2"], ["3", "4"], ["5"]]
    nothing = {"events": [], "cursor": cursor, "has_more": False}
    assert get_events(client, keys, after=cursor).json == nothing
    cancelled(app, keys, "6")
    assert shown(client, keys, after=cursor) == ["6"]


def test_a_merchant_without_events(client: FlaskClient, keys: MerchantKeys) -> None:
    nothing = {"events": [], "cursor": None, "has_more": False}
    assert get_events(client, keys).json == nothing
    assert get_events(client, keys, after=None).json == nothing


def test_a_page_holds_a_hundred_unless_asked_otherwise(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    cancelled(app, keys, "1")
    first = rows(app)[0]
    copied = {column.name: getattr(first, column.name) for column in Webhook.__table__.columns if column.name != "id"}
    with app.app_context():
        db.session.execute(insert(Webhook), [copied | {"event_id": f"evt_{n}"} for n in range(520)])
        db.session.commit()
    age(app)
    for asked, count in (({}, 100), ({"limit": "7"}, 7), ({"limit": 500}, 500)):
        answer = get_events(client, keys, **asked).json
        assert (len(answer["events"]), answer["has_more"]) == (count, True)


def test_nobody_sees_another_merchants_events(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    for number in "123":
        cancelled(app, keys, f"a{number}")
        cancelled(app, other, f"b{number}")
    age(app)
    assert shown(client, keys) == ["a1", "a2", "a3"]
    assert shown(client, other, limit=3) == ["b1", "b2", "b3"]
    assert get_events(client, other, limit=3).json["has_more"] is False
    theirs, unknown = get_events(client, other, after=rows(app)[0].event_id), get_events(client, other, after="evt_0")
    assert (theirs.status_code, theirs.data) == (422, unknown.data)


def test_only_the_balance_secret_of_a_merchant_that_may_ask_opens_it(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    other, blocked = make_merchant(app, "shop-2"), make_merchant(app, "shop-3")
    with app.app_context():
        accounts.set_blocked("shop-3", "cli", blocked=True)
    fields = {"merch_id": keys.merch_id, "limit": "x"}
    answers = [call(client, "GET", "get_events", keys.payment_secret, fields)]
    answers.append(call(client, "GET", "get_events", other.balance_secret, fields))
    answers.append(call(client, "GET", "get_events", keys.balance_secret, {}))
    answers.append(send(client, "GET", "get_events", json.dumps(fields).encode(), ""))
    answers.append(get_events(client, blocked))
    answers.append(get_events(client, MerchantKeys("nobody", "", keys.balance_secret)))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1


@pytest.mark.parametrize("path", ["/bot_api/get_events/", "/bot_api/get_events"])
def test_query_and_form_with_and_without_the_slash(
    app: Flask, client: FlaskClient, keys: MerchantKeys, path: str
) -> None:
    cancelled(app, keys, "1", "2")
    age(app)
    sent = f"merch_id={keys.merch_id}&limit=1&after={rows(app)[0].event_id}"
    headers = {"Signature": signing.sign(keys.balance_secret, sent.encode())}
    form = "application/x-www-form-urlencoded"
    for answer in (
        client.get(f"{path}?{sent}", headers=headers),
        client.get(path, data=sent, headers=headers, content_type=form),
    ):
        assert [e["payment_id"] for e in answer.json["events"]] == [2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("limit", value)
            for value in (0, -1, 501, 1000, 10**30, 1.0, 1.5, 1e2, True, None, [], {}, "0", "501", "1e2", "01", "+5")
        ],
        *[("limit", value) for value in ("٥", "", " 5", "5\n", "5.0", "0x5", "-1", "x")],
        *[
            ("after", value)
            for value in ("", "evt_0", "x" * 65, " evt", "a\0b", "\ud800", "ə", 5, 1.5, False, [], {})
        ],
    ],
)
def test_a_bad_field_is_named(client: FlaskClient, keys: MerchantKeys, field: str, value: Any) -> None:
    answer = get_events(client, keys, **{field: value})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "content_type", "fields"),
    [
        (b'{"merch_id": "shop-1", "limit": 1e2}', "application/json", ["limit"]),
        (b'{"merch_id": "shop-1", "limit": 5, "limit": 5}', "application/json", ["limit"]),
        (b"merch_id=shop-1&after=x&after=x", "application/x-www-form-urlencoded", ["after"]),
        (b"merch_id=shop-1&after=&limit=", "application/x-www-form-urlencoded", ["after", "limit"]),
    ],
)
def test_a_bad_field_as_it_was_sent(
    client: FlaskClient, keys: MerchantKeys, body: bytes, content_type: str, fields: list[str]
) -> None:
    answer = send(client, "GET", "get_events", body, signing.sign(keys.balance_secret, body), content_type)
    assert answer.status_code == 422
    assert sorted({error["field"] for error in answer.json["errors"]}) == fields


def test_other_methods_and_what_can_not_be_read(client: FlaskClient, keys: MerchantKeys) -> None:
    for method in ("POST", "DELETE", "OPTIONS", "PUT"):
        answer = send(client, method, "get_events", b"{}", "")
        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    for body, status in ((b"{", 400), (b"[]", 400), (b"{" + b" " * 20000 + b"}", 413)):
        assert send(client, "GET", "get_events", body, "").status_code == status


@MARIADB
def test_an_event_that_commits_late_is_not_passed_over(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    cancelled(app, keys, "old")
    age(app)
    pk = open_payment(app, keys, payment_id="first")
    cancelled(app, keys, "new")
    cursor = get_events(client, keys).json["cursor"]
    with uncommitted(app, pk):
        cancelled(app, keys, "second")
        cancelled(app, other, "theirs")
        assert [row.id for row in rows(app)][-2] > rows(app)[1].id + 1  # "first" has the id between
        answer = get_events(client, keys, after=cursor).json
        assert answer == {"events": [], "cursor": cursor, "has_more": False}
        assert shown(client, keys) == ["old", "new"]
        assert get_events(client, keys, limit=1).json["has_more"] is True
        assert get_events(client, keys, limit=2).json["has_more"] is False
        assert shown(client, other) == []
    assert shown(client, keys, after=cursor) == ["first", "second"]
    assert shown(client, other) == ["theirs"]


@MARIADB
def test_an_event_that_is_rolled_back_holds_nothing_back_after_a_minute(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    cancelled(app, keys, "old")
    age(app)
    pk = open_payment(app, keys, payment_id="undone")
    with app.app_context():
        outbox.enqueue(db.session.get_one(Payment, pk), Kind.CHANGE_SUM, now())
        db.session.rollback()
    cancelled(app, keys, "second", "third")
    assert shown(client, keys) == ["old"]
    age(app)
    assert shown(client, keys) == ["old", "second", "third"]
    cancelled(app, keys, "fresh")
    assert shown(client, keys) == ["old", "second", "third", "fresh"]


def test_the_list_ends_at_the_first_young_gap(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    cancelled(app, keys, "1")
    put_after_gap(app, keys, "2")
    age(app)
    cancelled(app, keys, "3")
    assert shown(client, keys) == ["1", "2", "3"]
    put_after_gap(app, keys, "4")
    put_after_gap(app, keys, "5")
    cancelled(app, keys, "6")
    assert shown(client, keys) == ["1", "2", "3"]
    assert get_events(client, keys, limit=2).json["has_more"] is True
    assert shown(client, keys, after=rows(app)[3].event_id) == []
    assert shown(client, keys, after=rows(app)[4].event_id) == ["6"]
    age(app)
    assert shown(client, keys) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.slow
def test_readers_who_poll_while_many_write_miss_nothing(app: Flask, keys: MerchantKeys) -> None:
    cancelled(app, keys, "old")
    age(app)
    pks = [open_payment(app, keys, payment_id=str(number)) for number in range(40)]
    ended, seen = threading.Event(), list[str]()

    def write(mine: list[int]) -> None:
        with app.app_context():
            for pk in mine:
                decisions.cancel(pk, 1, "operator:a")

    reader = threading.Thread(target=_read_until, args=(app, keys, ended, seen))
    writers = [threading.Thread(target=write, args=(pks[n::4],)) for n in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    age(app)  # a deadlock that MySQL broke may have left a gap
    ended.set()
    reader.join(60)
    assert seen == [row.event_id for row in rows(app)]
    assert len(seen) == 41


def _read_until(app: Flask, keys: MerchantKeys, ended: threading.Event, seen: list[str]) -> None:
    """Reads on, and once more when all is written, until nothing is left."""
    client, cursor = app.test_client(), None
    while True:
        last = ended.is_set()
        answer = get_events(client, keys, after=cursor).json
        seen.extend(e["webhook-id"] for e in answer["events"])
        cursor = answer["cursor"]
        if last and not answer["events"]:
            return


def test_few_statements_that_neither_scan_nor_sort(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    cancelled(app, other, "theirs")
    cancelled(app, keys, *"123456")
    _fill(app)
    cursor = rows(app)[-9].event_id
    with statements(app) as sent:
        assert len(get_events(client, keys, after=cursor, limit=3).json["events"]) == 3
    assert len(sent) <= 4, sent
    plan = _plan(app, keys)
    assert "ix_webhooks_merchant_id" in plan
    assert not any(word in plan for word in ("filesort", "temporary", "TEMP B-TREE", "SCAN", "ALL")), plan


def _fill(app: Flask) -> None:
    """Copies all events often: a planner scans what is small."""
    with app.app_context():
        first = rows(app)
        columns = [column.name for column in Webhook.__table__.columns if column.name != "id"]
        for n in range(300):
            copies = [{name: getattr(row, name) for name in columns} for row in first]
            db.session.execute(insert(Webhook), [copy | {"event_id": f"{copy['event_id']}{n}"} for copy in copies])
        db.session.commit()
        db.session.execute(text("ANALYZE" if db.engine.dialect.name == "sqlite" else "ANALYZE TABLE webhooks"))
        db.session.commit()
    age(app)


def _plan(app: Flask, keys: MerchantKeys) -> str:
    """The plan of the statement that lists, as the database tells it."""
    with app.app_context(), reading() as session:
        start, settled = feed._bounds(session, 1, None)
        listed = feed._listed(1, start, settled).limit(101)
        connection = session.connection()
        compiled = listed.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        prefix = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        return "\n".join(map(str, connection.exec_driver_sql(f"{prefix} {compiled}").all()))
