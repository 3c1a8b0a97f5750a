"""One merchant can't take all there is: how many payments it may have open, and how much of the wallets' limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from cerber.app import create_app
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments import caps, decisions, expiry
from cerber.payments.models import Payment
from cerber.wallets import registry
from tests.integration.payments.test_wallet_choice import make_due
from tests.support.clock import Clock, now
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet, open_payment

MOST = 8


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_OPEN_PAYMENTS": str(MOST)}


@pytest.fixture
def other(app: Flask) -> MerchantKeys:
    return make_merchant(app, "shop-2")


def opened(client: FlaskClient, keys: MerchantKeys, count: int, first: int = 0, **changes: object) -> list[int]:
    """The answers to so many get_wallets, each with an id of its own."""
    return [
        get_wallet(client, keys, payment_id=f"p{number}", **changes).status_code
        for number in range(first, first + count)
    ]


def assert_capped(answer: TestResponse, *told: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert all(part in answer.json["detail"] for part in told), answer.json
    assert "status" not in answer.json


def say(client: FlaskClient, keys: MerchantKeys, payment_id: str, status: str) -> int:
    fields = {"payment_id": payment_id, "status": status}
    return call(client, "POST", "update_status", keys.payment_secret, fields).status_code


def how_many(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(Payment)) or 0


def test_so_many_payments_may_be_open_and_the_detail_names_limit_and_value(
    app: Flask, client: FlaskClient, keys: MerchantKeys, other: MerchantKeys
) -> None:
    assert opened(client, keys, MOST) == [200] * MOST
    assert_capped(
        get_wallet(client, keys, payment_id="more"), f"{MOST} payments are open", f"no more than {MOST} may"
    )
    assert how_many(app) == MOST
    assert get_wallet(client, other).status_code == 200


def test_what_ends_makes_room(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    opened(client, keys, MOST)
    assert say(client, keys, "p0", "cancel") == 200
    assert opened(client, keys, 2, first=20) == [200, 429]
    assert say(client, keys, "p1", "accept") == 200
    assert opened(client, keys, 1, first=30) == [429]
    with app.app_context(), reading() as session:
        confirming = session.scalars(select(Payment.id).filter_by(payment_id="p1")).one()
    with app.app_context():
        decisions.accept(confirming, 2, "operator:ayla", "M10-1")
    assert opened(client, keys, 2, first=40) == [200, 429]


def test_a_due_payment_counts_as_cancelled_and_a_confirming_one_never_ends(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    opened(client, keys, MOST)
    say(client, keys, "p0", "accept")
    make_due(app)
    assert opened(client, keys, MOST, first=20) == [200] * (MOST - 1) + [429]
    with app.app_context():
        assert expiry.expire_due() == MOST - 1
    assert opened(client, keys, 1, first=40) == [429]


def test_an_equal_request_passes_the_cap_and_what_the_id_tells_comes_before_it(
    client: FlaskClient, keys: MerchantKeys
) -> None:
    first = get_wallet(client, keys, payment_id="p0")
    opened(client, keys, MOST - 1, first=1)
    assert opened(client, keys, 1, first=100) == [429]
    again = get_wallet(client, keys, payment_id="p0")
    assert (again.status_code, again.json) == (200, first.json)
    reused = get_wallet(client, keys, payment_id="p0", sum="1")
    assert (reused.status_code, reused.json["code"]) == (409, "payment_id_reused")
    assert get_wallet(client, keys, payment_id="p0", user_wallet="").status_code == 422
    say(client, keys, "p0", "cancel")
    opened(client, keys, 1, first=100)
    closed = get_wallet(client, keys, payment_id="p0")
    assert (closed.status_code, closed.json["code"]) == (409, "payment_closed")


def test_the_cap_comes_before_the_lack_of_a_wallet(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    opened(client, keys, MOST)
    with app.app_context():
        for wallet in registry.list_all():
            registry.set_paused(wallet.number, "cli", paused=True)
    assert opened(client, keys, 1, first=20) == [429]


@pytest.mark.parametrize("of_its_own", [False, True])
@pytest.mark.parametrize("run", range(5))
def test_sixteen_clients_at_the_cap_never_get_past_it(
    app: Flask, other: MerchantKeys, keys: MerchantKeys, of_its_own: bool, run: int
) -> None:
    """`of_its_own`: the merchant has a limit that stands in place of the setting's."""
    for _ in range(3):
        make_wallet(app)
    most = 3 if of_its_own else MOST
    if of_its_own:
        with app.app_context():
            accounts.limit_open(keys.merch_id, most, "cli")
    codes = at_once(app, keys, [str(number % 5 + 1) for number in range(48)])
    assert codes == {200: most, 429: 48 - most}
    assert how_many(app) == most


@pytest.mark.parametrize("run", range(5))
def test_sixteen_clients_never_get_past_half_of_the_limits(app: Flask, other: MerchantKeys, run: int) -> None:
    keys = make_merchant(app)
    for _ in range(4):
        make_wallet(app, daily_limit=50_00)
    codes = at_once(app, keys, ["25"] * 32)
    assert codes == {200: 4, 429: 28}
    assert opened(app.test_client(), other, 5, sum="25") == [200] * 4 + [429]


@pytest.mark.parametrize("run", range(3))
def test_they_never_get_past_a_cap_that_most_of_them_saw_from_afar(app: Flask, keys: MerchantKeys, run: int) -> None:
    """Far from it they are opened side by side, near it one after the other."""
    with app.app_context():
        accounts.limit_open(keys.merch_id, caps.MANY + 12, "cli")
    codes = at_once(app, keys, [str(number % 9 + 1) for number in range(caps.MANY + 40)])
    assert codes == {200: caps.MANY + 12, 429: 28}


def at_once(app: Flask, keys: MerchantKeys, sums: Sequence[str]) -> Counter[int]:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda one: get_wallet(app.test_client(), keys, payment_id=f"p{one[0]}", sum=one[1]), enumerate(sums)
        )
        return Counter(answer.status_code for answer in answers)


def test_equal_requests_at_once_all_get_the_payment_that_reaches_the_cap(app: Flask, keys: MerchantKeys) -> None:
    opened(app.test_client(), keys, MOST - 1)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: get_wallet(app.test_client(), keys, payment_id="last"), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert how_many(app) == MOST


class TestTheAttack:
    """23 payments of one merchant fill every wallet, and are reported paid, so that they never end."""

    WALLETS, LIMIT = 4, 200_00

    @pytest.fixture
    def env(self, env: dict[str, str]) -> dict[str, str]:
        return env | {"CERBER_OPEN_PAYMENTS": "1000"}

    @pytest.fixture(autouse=True)
    def wallets(self, app: Flask) -> list[str]:
        return [make_wallet(app, daily_limit=self.LIMIT) for _ in range(self.WALLETS)]

    def attack(self, client: FlaskClient, keys: MerchantKeys, number: int = 23) -> Counter[int]:
        codes = Counter(opened(client, keys, number, sum="37"))
        for payment in range(number):
            say(client, keys, f"p{payment}", "accept")
        return codes

    def test_half_is_left_for_the_other_merchant(self, client: FlaskClient, app: Flask, other: MerchantKeys) -> None:
        attacker = make_merchant(app, "attacker")
        assert self.attack(client, attacker) == {200: 10, 429: 13}  # 370 of the 800
        refused = get_wallet(client, attacker, payment_id="more", sum="37")
        assert_capped(
            refused, "add up to 370 manat", "no more than 400 may", "half of what the wallets' limits leave"
        )
        assert get_wallet(client, attacker, payment_id="last", sum="30").status_code == 200
        assert get_wallet(client, attacker, payment_id="more", sum="0.01").status_code == 429
        assert opened(client, other, 30, sum="10") == [200] * 30

    def test_a_merchant_alone_may_use_all(self, client: FlaskClient, app: Flask) -> None:
        assert self.attack(client, make_merchant(app, "attacker"), 20) == {200: 20}

    def test_the_other_one_blocked_is_nobody(self, client: FlaskClient, app: Flask, other: MerchantKeys) -> None:
        with app.app_context():
            accounts.set_blocked("shop-2", "cli", blocked=True)
        assert self.attack(client, make_merchant(app, "attacker"), 20) == {200: 20}

    def test_a_wallet_without_a_limit_is_never_full(
        self, client: FlaskClient, app: Flask, other: MerchantKeys, wallets: list[str]
    ) -> None:
        unlimited = make_wallet(app)
        attacker = make_merchant(app, "attacker")
        assert self.attack(client, attacker) == {200: 23}
        with app.app_context():
            registry.set_paused(unlimited, "cli", paused=True)
        assert opened(client, attacker, 1, first=50, sum="0.01") == [429]

    def test_what_came_today_is_no_longer_to_be_had(
        self, client: FlaskClient, app: Flask, other: MerchantKeys, clock: Clock
    ) -> None:
        key = open_payment(app, other, payment_id="big", sum="180")
        with app.app_context():
            decisions.accept(key, 1, "operator:ayla")
        attacker = make_merchant(app, "attacker")
        assert opened(client, attacker, 4, sum="100") == [200, 200, 200, 429]  # half of 620
        clock.stop(now() + timedelta(days=1))
        assert opened(client, attacker, 5, first=10, sum="100") == [200] * 4 + [429]

    @pytest.mark.parametrize("lifted", ["by the setting", "for the merchant"])
    def test_zero_lifts_both(
        self, env: dict[str, str], app: Flask, client: FlaskClient, other: MerchantKeys, lifted: str
    ) -> None:
        attacker = make_merchant(app, "attacker")
        if lifted == "for the merchant":
            with app.app_context():
                accounts.limit_open("attacker", 0, "cli")
            assert self.attack(client, attacker, 20) == {200: 20}
        else:
            free = create_app(env | {"CERBER_OPEN_PAYMENTS": "0"})
            assert self.attack(free.test_client(), attacker, 20) == {200: 20}
            dispose(free)
        assert get_wallet(client, other, sum="100").status_code == 503
