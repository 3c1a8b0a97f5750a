"""What doctor and /metrics tell of merchants who hold much, of wallets that are full, and of payments that wait."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cerber.merchants import accounts
from cerber.payments import decisions
from cerber.wallets import registry
from tests.integration.cli.test_commands import doctor
from tests.integration.metrics.test_exposition import TOKEN, series
from tests.support.clock import Clock, now
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet, open_payment


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_METRICS_TOKEN": TOKEN, "CERBER_OPEN_PAYMENTS": "10"}


def fill(client: FlaskClient, keys: MerchantKeys, count: int, **changes: object) -> None:
    for number in range(count):
        assert get_wallet(client, keys, payment_id=f"p{number}", **changes).status_code == 200


def test_merchants_near_their_cap_are_named(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    busy = make_merchant(app, "busy")
    fill(client, keys, 8)
    fill(client, busy, 8)
    assert doctor(app)["merchants"] == (True, "none is near its cap of open payments")
    assert get_wallet(client, busy, payment_id="ninth").status_code == 200
    well, message = doctor(app)["merchants"]
    assert (well, message.startswith("busy (9 of 10 open) near the cap or above it: ")) == (False, True)
    assert "flask merchant cancel-open" in message
    assert series(app)["cerber_merchants_near_cap"] == 1
    with app.app_context():
        accounts.limit_open("shop-1", 3, "cli")
        accounts.limit_open("busy", 0, "cli")
    assert doctor(app)["merchants"][1].startswith("shop-1 (8 of 3 open) near")


def test_of_many_merchants_near_their_cap_five_are_named(app: Flask, client: FlaskClient) -> None:
    make_wallet(app)
    for number in range(7):
        fill(client, make_merchant(app, f"m{number}"), 9)
    assert "m4 (9 of 10 open) and 2 others near" in doctor(app)["merchants"][1]
    assert series(app)["cerber_merchants_near_cap"] == 7


def test_a_merchant_with_nearly_half_of_the_limits_is_named_blocked_or_not(app: Flask, client: FlaskClient) -> None:
    make_wallet(app, daily_limit=1000_00)
    keys = make_merchant(app)
    for other in ("shop-2", "shop-3"):
        make_merchant(app, other)
    fill(client, keys, 1, sum="449")
    assert doctor(app)["merchants"][0]
    open_payment(app, keys, payment_id="more", sum="1")
    assert doctor(app)["merchants"][1].startswith("shop-1 (2 of 10 open, 450 of 500 manat) near")
    with app.app_context():
        accounts.set_blocked("shop-1", "cli", blocked=True)
    assert not doctor(app)["merchants"][0]


def test_it_is_told_when_less_than_a_fifth_of_the_wallets_can_take_a_payment(app: Flask, client: FlaskClient) -> None:
    numbers = [make_wallet(app, daily_limit=10_00) for _ in range(6)]
    keys = make_merchant(app)
    fill(client, keys, 4, sum="10")
    assert doctor(app)["wallets"] == (True, "6 active, 2 can take a payment")
    assert get_wallet(client, keys, payment_id="fifth", sum="10").status_code == 200
    well, message = doctor(app)["wallets"]
    assert (well, message.startswith("1 of 6 active can take a payment: ")) == (False, True)
    told = series(app)
    assert (told["cerber_wallets able"], told["cerber_wallets full"]) == (1, 5)
    with app.app_context():
        registry.set_paused(numbers[0], "cli", paused=True)
    assert doctor(app)["wallets"][0]  # one of five
    with app.app_context():
        for number in numbers:
            registry.set_paused(number, "cli", paused=True)
    assert "none is active" in doctor(app)["wallets"][1]


def test_a_confirming_payment_that_nobody_touches_for_a_day_is_stuck(
    app: Flask, client: FlaskClient, keys: MerchantKeys, clock: Clock
) -> None:
    began = now()
    clock.stop(began)
    pks = [open_payment(app, keys, payment_id=name, sum=str(n + 1)) for n, name in enumerate(("paid", "part", "new"))]
    clock.stop(began + timedelta(minutes=30))
    call(client, "POST", "update_status", keys.payment_secret, {"payment_id": "paid", "status": "accept"})
    with app.app_context():
        decisions.record_transfer(pks[1], 1, "operator:ayla", 1_00)
    assert stuck(app, clock, began + timedelta(hours=24, minutes=29)) is None
    # told again: it changes nothing, and puts nothing off
    call(client, "POST", "update_status", keys.payment_secret, {"payment_id": "paid", "status": "accept"})
    assert stuck(app, clock, began + timedelta(hours=24, minutes=31)) == (2, pks[0])
    with app.app_context():
        decisions.record_transfer(pks[0], 2, "operator:ayla", 50)
        decisions.accept(pks[1], 2, "operator:ayla")
    assert stuck(app, clock, began + timedelta(hours=47)) is None
    assert stuck(app, clock, began + timedelta(hours=49)) == (1, pks[0])


def stuck(app: Flask, clock: Clock, at: datetime) -> tuple[int, int] | None:
    """How many doctor and /metrics say there are at that moment, and which is the oldest."""
    clock.stop(at)
    well, message = doctor(app)["decisions"]
    count = int(series(app)["cerber_payments_stuck"])
    assert well is (count == 0)
    if well:
        return None
    assert int(message.split()[0]) == count
    return count, int(message.split("/payments/")[1].split(":")[0])
