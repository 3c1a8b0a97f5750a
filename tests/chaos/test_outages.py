"""A database that is really away or locked: what callers, operators and monitors see, and what is left behind."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from cerber.app import create_app
from cerber.audit.models import AuditEntry
from cerber.db import engines
from cerber.db.transactions import reading
from cerber.operators import staff
from cerber.payments.models import Payment
from cerber.payments.states import OPEN
from cerber.wallets.models import Wallet
from cerber.webhooks.models import Webhook
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet, open_payment, payment
from tests.support.mariadb_server import Server

PASSWORD = "correct horse battery"
BUSY = 1  # seconds that the database itself waits for a lock here, in place of BUSY_SECONDS
AT_ONCE = 5  # seconds, on a busy machine; the product's own longest wait for a server that is away
LEAKS = ("127.0.0.1", "SELECT", "pymysql", "sqlite", "Traceback", "File ", "/tmp", "test.db", "Errno")  # noqa: S108 - only looked for


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", BUSY)


@contextmanager
def gateway(url: str) -> Iterator[Flask]:
    app = create_app(ENV | {"CERBER_DATABASE_URL": url})
    app.testing = True
    yield app
    dispose(app)


@pytest.fixture
def app(server: Server) -> Iterator[Flask]:
    """On the server that may be stopped."""
    with gateway(server.url) as app:
        yield app


@pytest.fixture
def sqlite_path(sqlite_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "test.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
def on_sqlite(sqlite_path: Path) -> Iterator[Flask]:
    with gateway(f"sqlite:///{sqlite_path}") as app:
        yield app


def calls(client: FlaskClient, keys: MerchantKeys) -> dict[str, Callable[[], TestResponse]]:
    """The four calls; two of them are about the payment 3636363."""
    known = {"payment_id": "3636363"}
    cancel = known | {"status": "cancel"}
    return {
        "get_wallet": lambda: get_wallet(client, keys, payment_id="new", sum="70"),
        "update_status": lambda: call(client, "POST", "update_status", keys.payment_secret, cancel),
        "get_status": lambda: call(client, "GET", "get_status", keys.payment_secret, known),
        "get_balance": lambda: call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id}),
    }


def assert_unavailable(answer: TestResponse) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["code"] == "unavailable"
    assert set(answer.json) == {"type", "title", "detail", "code"}
    assert int(answer.headers["Retry-After"]) > 0
    assert_tells_nothing(answer)


def assert_page_unavailable(answer: TestResponse) -> None:
    assert answer.status_code == 503
    assert "Nothing was changed" in answer.text
    assert_tells_nothing(answer)


def assert_tells_nothing(answer: TestResponse) -> None:
    assert not [word for word in LEAKS if word in answer.text]


def log_in(app: Flask) -> FlaskClient:
    """A browser with an operator's session."""
    with app.app_context():
        staff.add("anna", PASSWORD, "operator", "cli")
    client = app.test_client()
    fields = {"csrf_token": token(client.get("/login")), "username": "anna", "password": PASSWORD}
    assert client.post("/login", data=fields).status_code == 303
    return client


def token(page: TestResponse) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def state(app: Flask) -> dict[str, Any]:
    """All that a half-done change would show in."""
    columns = (Payment.payment_id, Payment.status, Payment.version, Payment.received, Payment.wallet_id)
    counters = (Wallet.number, Wallet.expected, Wallet.received_today)
    with app.app_context(), reading() as session:
        return {
            "payments": [tuple(row) for row in session.execute(select(*columns).order_by(Payment.id))],
            "wallets": [tuple(row) for row in session.execute(select(*counters).order_by(Wallet.id))],
            "webhooks": session.scalar(select(func.count()).select_from(Webhook)),
            "audit": session.scalar(select(func.count()).select_from(AuditEntry)),
        }


def assert_whole(app: Flask) -> None:
    """Each payment has its place in its wallet's counters, and a cancelled one its webhook and its audit entry."""
    with app.app_context(), reading() as session:
        payments = session.scalars(select(Payment)).all()
        wallets = session.scalars(select(Wallet)).all()
        webhooks = Counter((row.payment_id, row.kind) for row in session.scalars(select(Webhook)))
        entries = Counter(session.scalars(select(AuditEntry.payment_id).where(AuditEntry.payment_id.is_not(None))))
    cancelled = [payment.id for payment in payments if payment.status == "cancel"]
    assert webhooks == Counter((key, "cancel") for key in cancelled)
    assert entries == Counter(cancelled)
    for wallet in wallets:
        open_on_it = [row.sum for row in payments if row.wallet_id == wallet.id and row.status in OPEN]
        assert wallet.expected == sum(open_on_it)


@pytest.mark.parametrize("end", [Server.kill, Server.stop], ids=["killed", "stopped"])
def test_while_the_server_is_away_all_is_refused_at_once_and_after_it_all_is_served(
    app: Flask, server: Server, end: Callable[[Server], None]
) -> None:
    keys = make_merchant(app)
    make_wallet(app)
    open_payment(app, keys)
    before = state(app)
    client = app.test_client()
    form = {"csrf_token": token(client.get("/login")), "username": "anna", "password": PASSWORD}
    end(server)
    for ask in calls(client, keys).values():
        started = time.monotonic()
        assert_unavailable(ask())
        assert time.monotonic() - started < AT_ONCE
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["database"]) == (503, False)
    assert_tells_nothing(ready)
    assert client.get("/health/live").status_code == 200
    assert_page_unavailable(client.post("/login", data=form))

    server.start()
    assert state(app) == before
    assert client.get("/health/ready").status_code == 200
    assert client.post("/login", data=form).status_code == 401
    for name, ask in calls(client, keys).items():
        assert (name, ask().status_code) == (name, 200)
    assert_whole(app)


def test_a_signed_in_operator_is_told_of_an_outage_and_stays_signed_in(app: Flask, server: Server) -> None:
    keys, browser = make_merchant(app), log_in(app)
    make_wallet(app)
    key = open_payment(app, keys)
    form = {"csrf_token": token(browser.get(f"/payments/{key}")), "version": 1}
    server.kill()
    assert_page_unavailable(browser.get("/payments/"))
    assert_page_unavailable(browser.get(f"/payments/{key}"))
    assert_page_unavailable(browser.post(f"/payments/{key}/accept", data=form))
    server.start()
    assert browser.post(f"/payments/{key}/accept", data=form).status_code == 303
    assert payment(app, key).status == "accept"


def test_a_restart_that_nobody_saw_costs_no_call(app: Flask, server: Server) -> None:
    keys = make_merchant(app)
    make_wallet(app)
    open_payment(app, keys)

    def at_once(threads: ThreadPoolExecutor) -> list[int]:
        """Several of each call, so that all connections of both pools are in use."""
        asks = [ask for _ in range(4) for ask in calls(app.test_client(), keys).values()]
        return [answer.status_code for answer in threads.map(lambda ask: ask(), asks)]

    with ThreadPoolExecutor(8) as threads:
        assert set(at_once(threads)) == {200}
        server.kill()
        server.start()
        assert set(at_once(threads)) == {200}


class Shoppers:
    """Merchants' calls from several threads at once, without a pause: each opens payments and cancels some."""

    def __init__(self, app: Flask, keys: MerchantKeys) -> None:
        self.opened: list[str] = []
        self.cancelled: list[str] = []
        self._app = app
        self._keys = keys
        self._statuses: Counter[int] = Counter()
        self._changed = threading.Condition()
        self.done = threading.Event()

    def run(self, name: str) -> None:
        client = self._app.test_client()
        number = 0
        while not self.done.is_set():
            number += 1
            payment_id = f"{name}-{number}"
            if self._count(get_wallet(client, self._keys, payment_id=payment_id)):
                self.opened.append(payment_id)
            fields = {"payment_id": payment_id, "status": "cancel"}
            if number % 2 and self._count(call(client, "POST", "update_status", self._keys.payment_secret, fields)):
                self.cancelled.append(payment_id)

    def wait_for(self, status: int, more: int) -> None:
        with self._changed:
            enough = self._statuses[status] + more
            assert self._changed.wait_for(lambda: self._statuses[status] >= enough, 20), self._statuses

    @property
    def statuses(self) -> set[int]:
        return set(self._statuses)

    def _count(self, answer: TestResponse) -> bool:
        if answer.status_code == 503:
            assert_unavailable(answer)
        with self._changed:
            self._statuses[answer.status_code] += 1
            self._changed.notify_all()
        return answer.status_code == 200


def test_a_server_killed_in_the_middle_of_calls_leaves_whole_payments_and_all_that_were_answered(
    app: Flask, server: Server
) -> None:
    keys = make_merchant(app)
    for _ in range(3):
        make_wallet(app)
    shoppers = Shoppers(app, keys)
    with ThreadPoolExecutor(6) as threads:
        running = [threads.submit(shoppers.run, f"shopper{number}") for number in range(6)]
        try:
            for _ in range(4):
                shoppers.wait_for(200, 40)
                server.kill()
                shoppers.wait_for(503, 12)
                server.start()
            shoppers.wait_for(200, 40)
        finally:
            shoppers.done.set()
        for future in running:
            future.result()
    assert shoppers.statuses <= {200, 404, 503}  # 404: to cancel what could not be opened
    assert_whole(app)
    with app.app_context(), reading() as session:
        became = {row.payment_id: row.status for row in session.scalars(select(Payment))}
    assert set(shoppers.opened) <= set(became)
    assert {became[payment_id] for payment_id in shoppers.cancelled} == {"cancel"}


@pytest.mark.parametrize(
    ("locked", "refused"), [("wallets", {"get_wallet", "update_status"}), ("payments", {"update_status"})]
)
def test_rows_that_somebody_else_holds_cost_only_the_calls_that_write_them(
    app: Flask, server: Server, locked: str, refused: set[str]
) -> None:
    keys = make_merchant(app)
    make_wallet(app)
    open_payment(app, keys)
    before = state(app)
    holder = server.connect()
    with holder.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {locked} WHERE id > 0 FOR UPDATE")  # noqa: S608 - a name of ours
        for name in sorted(refused):
            started = time.monotonic()
            assert_unavailable(calls(app.test_client(), keys)[name]())
            assert BUSY * 0.9 <= time.monotonic() - started < BUSY + AT_ONCE
        assert state(app) == before
        for name in ("get_status", "get_balance"):
            assert calls(app.test_client(), keys)[name]().status_code == 200
    holder.close()
    for name in sorted(refused):
        assert calls(app.test_client(), keys)[name]().status_code == 200
    assert_whole(app)


def test_a_payment_that_somebody_else_holds_cannot_be_decided_and_the_page_says_so(
    app: Flask, server: Server
) -> None:
    keys, browser = make_merchant(app), log_in(app)
    make_wallet(app)
    key = open_payment(app, keys)
    form = {"csrf_token": token(browser.get(f"/payments/{key}")), "version": 1}
    holder = server.connect()
    with holder.cursor() as cursor:
        cursor.execute("SELECT id FROM payments WHERE id = %s FOR UPDATE", [key])
        assert_page_unavailable(browser.post(f"/payments/{key}/accept", data=form))
        assert browser.get(f"/payments/{key}").status_code == 200
    holder.close()
    assert browser.post(f"/payments/{key}/accept", data=form).status_code == 303
    assert payment(app, key).status == "accept"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """SQLite's one lock, in another connection's hands."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield
    holder.close()


def test_a_held_sqlite_refuses_what_writes_and_serves_what_reads(on_sqlite: Flask, sqlite_path: Path) -> None:
    app = on_sqlite
    keys, browser = make_merchant(app), log_in(app)
    make_wallet(app)
    key = open_payment(app, keys)
    form = {"csrf_token": token(browser.get(f"/payments/{key}")), "version": 1}
    before = state(app)
    client = app.test_client()
    asked = calls(client, keys)
    with held(sqlite_path):
        for name in ("get_wallet", "update_status"):
            started = time.monotonic()
            assert_unavailable(asked[name]())
            assert BUSY * 0.9 <= time.monotonic() - started < BUSY + AT_ONCE
        assert_page_unavailable(browser.post(f"/payments/{key}/accept", data=form))
        for name in ("get_status", "get_balance"):
            assert asked[name]().status_code == 200
        assert browser.get(f"/payments/{key}").status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert state(app) == before
    for name, ask in asked.items():
        assert (name, ask().status_code) == (name, 200)
    assert_whole(app)


def test_a_sqlite_file_that_cannot_be_opened_is_an_outage_until_it_can(sqlite_path: Path, tmp_path: Path) -> None:
    with gateway(f"sqlite:///{sqlite_path}") as app:
        keys = make_merchant(app)
        make_wallet(app)
        open_payment(app, keys)
    volume = tmp_path / "volume"
    with gateway(f"sqlite:///{volume / sqlite_path.name}") as app:  # a disk that is not mounted yet
        client = app.test_client()
        form = {"csrf_token": token(client.get("/login")), "username": "anna", "password": PASSWORD}
        for ask in calls(client, keys).values():
            assert_unavailable(ask())
        assert_page_unavailable(client.post("/login", data=form))
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert_tells_nothing(ready)
        assert client.get("/health/live").status_code == 200
        volume.mkdir()
        sqlite_path.rename(volume / sqlite_path.name)
        assert client.get("/health/ready").status_code == 200
        for name, ask in calls(client, keys).items():
            assert (name, ask().status_code) == (name, 200)
