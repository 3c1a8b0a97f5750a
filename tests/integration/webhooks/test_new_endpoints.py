"""CERBER_NEW_ENDPOINTS and CERBER_BALANCE_CALLBACKS: how many places a merchant may name, and be sent balances to."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from cerber.app import create_app
from cerber.db.transactions import reading
from cerber.webhooks.models import Endpoint, Webhook
from tests.integration.bot_api.test_refused_signatures import counted
from tests.integration.payments.test_many_deciders import at_once, deadlocks
from tests.support.clock import Clock, now
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet

DAILY, HOURLY = 3, 5
__all__ = ["deadlocks"]  # a fixture


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_NEW_ENDPOINTS": str(DAILY), "CERBER_BALANCE_CALLBACKS": str(HOURLY)}


@pytest.fixture
def other(app: Flask) -> MerchantKeys:
    return make_merchant(app, "shop-2")


def url(name: object) -> str:
    return f"https://{name}.example.com/hook"


def wallet(client: FlaskClient, keys: MerchantKeys, name: object, payment_id: object = None) -> TestResponse:
    return get_wallet(client, keys, payment_id=str(payment_id or name), callback_url=url(name))


def balance(client: FlaskClient, keys: MerchantKeys, name: object, **fields: str) -> TestResponse:
    asked = {"merch_id": keys.merch_id, "callback_url": url(name)} | fields
    return call(client, "GET", "get_balance", keys.balance_secret, asked)


def count(app: Flask, of: type) -> int:
    with app.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(of)) or 0


def assert_refused(answer: TestResponse, told: str) -> int:
    """Its Retry-After."""
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert told in answer.json["detail"]
    return int(answer.headers["Retry-After"])


def test_so_many_new_endpoints_a_day(
    app: Flask, client: FlaskClient, keys: MerchantKeys, other: MerchantKeys, clock: Clock
) -> None:
    began = now()
    clock.stop(began)
    first = wallet(client, keys, "a")
    clock.stop(began + timedelta(hours=10))
    assert [wallet(client, keys, name).status_code for name in ("b", "c")] == [200, 200]
    told = f"{DAILY} new endpoints were named within 24 h, and no more than {DAILY} may be"
    assert assert_refused(wallet(client, keys, "d"), told) == 14 * 3600
    assert assert_refused(balance(client, keys, "d"), told) == 14 * 3600
    assert count(app, Endpoint) == DAILY
    assert count(app, Webhook) == 0
    assert wallet(client, keys, "a", "another").status_code == 200
    assert balance(client, keys, "a").status_code == 200
    assert wallet(client, keys, "A", "again").status_code == 200  # the same host
    assert wallet(client, other, "d").status_code == 200
    assert wallet(client, keys, "a").status_code == 409  # expired
    clock.stop(began + timedelta(hours=24, seconds=1))
    assert [wallet(client, keys, name).status_code for name in ("d", "e")] == [200, 429]
    assert first.status_code == 200


def test_ten_times_that_in_all(app: Flask, client: FlaskClient, keys: MerchantKeys, clock: Clock) -> None:
    for day in range(10):
        clock.stop(now() + timedelta(days=2 * day))
        assert [wallet(client, keys, f"d{day}-{n}").status_code for n in range(DAILY)] == [200] * DAILY
    clock.stop(now() + timedelta(days=20))
    told = f"{10 * DAILY} endpoints are yours, and no more than {10 * DAILY} may be"
    assert assert_refused(wallet(client, keys, "more"), told) > 0
    assert wallet(client, keys, "d0-0", "known").status_code == 200


def test_an_equal_get_wallet_passes(client: FlaskClient, keys: MerchantKeys) -> None:
    answers = [wallet(client, keys, n) for n in range(1, DAILY + 1)]
    assert wallet(client, keys, "more").status_code == 429
    assert wallet(client, keys, 1).json == answers[0].json
    reused = get_wallet(client, keys, payment_id="1", callback_url=url("more"))
    assert (reused.status_code, reused.json["code"]) == (409, "payment_id_reused")


@pytest.mark.parametrize("run", range(4))
def test_many_at_once_name_no_more(app: Flask, keys: MerchantKeys, run: int) -> None:
    def ask(number: int) -> int:
        client = app.test_client()
        asked = balance(client, keys, number) if number % 2 else wallet(client, keys, number)
        return asked.status_code

    with ThreadPoolExecutor(16) as pool:
        codes = Counter(pool.map(ask, range(32)))
    assert codes == {200: DAILY, 429: 32 - DAILY}
    assert count(app, Endpoint) == DAILY


def test_beyond_the_hours_share_a_balance_is_answered_and_nothing_sent(
    app: Flask, client: FlaskClient, keys: MerchantKeys, other: MerchantKeys, clock: Clock
) -> None:
    began = now()
    clock.stop(began)
    for number in range(HOURLY + 3):
        answer = balance(client, keys, "a", start_date=f"2026-11-{number + 1:02}")
        assert (answer.status_code, answer.json["pending_sum"]) == (200, 0)
    assert count(app, Webhook) == HOURLY
    assert balance(client, other, "a").status_code == 200
    assert count(app, Webhook) == HOURLY + 1
    clock.stop(began + timedelta(minutes=59, seconds=59))
    balance(client, keys, "a", start_date="2026-10-01")
    assert count(app, Webhook) == HOURLY + 1
    clock.stop(began + timedelta(hours=1))
    balance(client, keys, "a", start_date="2026-10-01")
    assert count(app, Webhook) == HOURLY + 2


def test_beyond_it_nothing_is_written(
    app: Flask, client: FlaskClient, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(HOURLY):
        balance(client, keys, "a", start_date=f"2026-11-{number + 1:02}")
    with counted(app, monkeypatch) as work:
        assert balance(client, keys, "never-seen").status_code == 200
    assert work.begun == 0
    assert count(app, Endpoint) == 1


def test_an_equal_request_within_a_minute_costs_nothing(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    for _ in range(2 * HOURLY):
        assert balance(client, keys, "a").status_code == 200
    balance(client, keys, "a", start_date="2026-11-01")
    assert count(app, Webhook) == 2


@pytest.mark.parametrize("run", range(4))
def test_many_at_once_are_sent_no_more(app: Flask, keys: MerchantKeys, run: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        days = [f"2026-10-{day + 1:02}" for day in range(24)]
        asked = pool.map(lambda day: balance(app.test_client(), keys, "a", start_date=day).status_code, days)
        assert set(asked) == {200}
    assert count(app, Webhook) == HOURLY


def test_zero_lifts_both(env: dict[str, str], app: Flask, keys: MerchantKeys) -> None:
    free = create_app(env | {"CERBER_NEW_ENDPOINTS": "0", "CERBER_BALANCE_CALLBACKS": "0"})
    client = free.test_client()
    assert {wallet(client, keys, n).status_code for n in range(1, 4 * DAILY)} == {200}
    assert {balance(client, keys, n).status_code for n in range(1, 4 * HOURLY)} == {200}
    assert count(app, Webhook) == 4 * HOURLY - 1
    dispose(free)


class TestLocks:
    """Who names new endpoints, asks for balances and cancels at once: none waits for one who waits for it."""

    @pytest.fixture
    def env(self, env: dict[str, str]) -> dict[str, str]:
        return env | {"CERBER_NEW_ENDPOINTS": "1000", "CERBER_BALANCE_CALLBACKS": "1000"}

    def test_no_deadlock(self, app: Flask, keys: MerchantKeys, deadlocks: Counter[str]) -> None:
        make_wallet(app)

        def deed(number: int) -> int:
            client, name = app.test_client(), number // 4
            if number % 4 == 3:
                return balance(client, keys, number % 7, start_date=f"2026-10-{number % 28 + 1:02}").status_code
            if number % 4 == 2:
                said = {"payment_id": str(name), "status": "cancel"}
                return call(client, "POST", "update_status", keys.payment_secret, said).status_code
            return wallet(client, keys, name, payment_id=name if number % 4 else f"x{number}").status_code

        codes = Counter(at_once(app, [lambda n=n: deed(n) for n in range(4, 324)], threads=8))  # type: ignore[misc]
        assert deadlocks == Counter(), codes
        assert set(codes) <= {200, 404, 409}, codes
