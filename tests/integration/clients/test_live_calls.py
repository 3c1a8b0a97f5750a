"""The five calls, the events and the webhooks, in three languages against a real server and worker."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from cerber import signing
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments import decisions
from cerber.payments.models import Payment
from cerber.signing import SecretKind
from tests.integration.clients.driving import Driver
from tests.support.factories import MerchantKeys, call, open_payment
from tests.support.gateway import let_a_minute_pass, running_gateway
from tests.support.shop import Arrival, Shop
from tests.support.workers import states, until

pytestmark = pytest.mark.slow
AWKWARD_ID = "sifariş №7 +&=%\"'"


@pytest.fixture
def gateway(env: dict[str, str], keys: MerchantKeys) -> Iterator[str]:
    with running_gateway(env) as address:
        yield address


@pytest.fixture
def connected(driver: Driver, gateway: str, keys: MerchantKeys) -> Driver:
    driver.connect(gateway, keys)
    return driver


def transfer(app: Flask, *amounts: int) -> None:
    """An operator records transfers for the newest payment, in qəpik, on the version that it now has."""
    for amount in amounts:
        with app.app_context(), reading() as session:
            newest = session.scalars(select(Payment).order_by(Payment.id.desc()).limit(1)).one()
        with app.app_context():
            decisions.record_transfer(
                newest.id, newest.version, "operator:a", amount, f"{newest.id}-{newest.version}"
            )


def cancelled(app: Flask, keys: MerchantKeys, payment_id: str) -> None:
    """One event."""
    open_payment(app, keys, payment_id=payment_id)
    fields = {"payment_id": payment_id, "status": "cancel"}
    assert call(app.test_client(), "POST", "update_status", keys.payment_secret, fields).status_code == 200


def read(driver: Driver, arrival: Arrival, keys: MerchantKeys, **more: Any) -> Any:
    secrets = {"payment_secret": keys.payment_secret, "balance_secret": keys.balance_secret} | more
    return driver.ask("read_webhook", body=arrival.body.decode(), headers=arrival.headers, **secrets)


def test_a_payment_from_its_wallet_to_its_last_event(
    connected: Driver, app: Flask, keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    """The published story of two transfers, seen by webhooks and by polling alike."""
    server, url = shop
    asked = {"payment_id": AWKWARD_ID, "user_wallet": "994501234567", "sum": "500.50", "callback_url": url}
    wallet = connected.ask("get_wallet", **asked)
    assert wallet["payment_id"] == AWKWARD_ID
    assert wallet["wallet_link"].endswith(wallet["wallet_number"])
    assert base64.b64decode(wallet["image"]).startswith(b"\x89PNG")
    assert connected.ask("get_wallet", **asked) == wallet  # repeated
    assert connected.ask("get_status", payment_id=AWKWARD_ID) == "pending"
    assert connected.ask("update_status", payment_id=AWKWARD_ID, status="accept") == "confirming"
    transfer(app, 20000, 30050)
    arrivals = server.wait_for(2)
    partly, wholly = (read(connected, arrival, keys) for arrival in arrivals)
    assert (partly["kind"], partly["payment_id"]) == ("change_sum", AWKWARD_ID)
    assert (partly["confirm_sum"], partly["payment_sum"]) == ("200", "500.50")
    assert (wholly["kind"], wholly["payment_id"], wholly["confirm_sum"]) == ("accept", AWKWARD_ID, "500.50")
    assert connected.ask("get_status", payment_id=AWKWARD_ID) == "accept"
    until(lambda: states(app) == ["delivered", "delivered"])
    let_a_minute_pass(app)
    pulled = connected.ask("events", count=2)
    same = ("id", "kind", "payment_id", "confirm_sum", "payment_sum", "body")
    assert [[event[name] for name in same] for event in pulled] == [
        [event[name] for name in same] for event in (partly, wholly)
    ]
    assert [(event["state"], event["attempts"]) for event in pulled] == [("delivered", 1)] * 2
    assert all(event["time"].endswith("Z") for event in pulled)


def test_a_balance_is_text_to_the_last_qepik(
    connected: Driver, app: Flask, keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    server, url = shop
    for number, amount in enumerate(("99999999.99", "0.10", "0.20")):
        open_payment(app, keys, payment_id=str(number), sum=amount, callback_url=url)
    told = connected.ask("get_balance", callback_url=url)
    assert told == {"confirm_sum": "0", "pending_sum": "100000000.29", "canceled_sum": "0"}
    webhook = read(connected, server.wait_for(1)[0], keys)
    assert (webhook["kind"], webhook["balance"]) == ("balance", told)
    nothing = {"confirm_sum": "0", "pending_sum": "0", "canceled_sum": "0"}
    assert connected.ask("get_balance", start_date="2020-01-01T00:00:00+04:00", end_date="2020-12-31") == nothing


def test_what_the_gateway_refuses_is_a_typed_error(
    connected: Driver, app: Flask, keys: MerchantKeys, gateway: str, shop: tuple[Shop, str]
) -> None:
    url = shop[1]
    asked = {"payment_id": "7", "user_wallet": "994501234567", "sum": "5", "callback_url": url}
    wrong = connected.refusal("get_wallet", **(asked | {"sum": "5,00", "user_wallet": " "}))
    assert (wrong["error"], wrong["status"], wrong["code"]) == ("ApiError", 422, "invalid")
    assert sorted(field for field, _ in wrong["errors"]) == ["sum", "user_wallet"]
    assert wrong["retry_after"] is None
    assert connected.refusal("get_status", payment_id="8")["code"] == "not_found"
    connected.ask("get_wallet", **asked)
    assert connected.refusal("get_wallet", **(asked | {"sum": "6"}))["code"] == "payment_id_reused"
    assert connected.ask("update_status", payment_id="7", status="cancel") == "cancel"
    closed = connected.refusal("update_status", payment_id="7", status="accept")
    assert (closed["status"], closed["code"], closed["payment_status"]) == (409, "payment_closed", "cancel")
    assert connected.refusal("get_events", after="evt_of_nobody")["code"] == "invalid"
    connected.connect(gateway, keys, payment_secret=signing.new_secret())
    assert connected.refusal("get_status", payment_id="7")["code"] == "unauthorized"
    with app.app_context():
        accounts.require_v2(keys.merch_id, "cli", required=True)
    connected.connect(gateway, keys)
    assert connected.ask("get_status", payment_id="7") == "cancel"  # they sign by V2


def test_the_events_are_waited_for(connected: Driver, app: Flask, keys: MerchantKeys) -> None:
    """From a cursor, over several pages, and on past the last one."""
    for number in range(3):
        cancelled(app, keys, str(number))
    let_a_minute_pass(app)
    first = connected.ask("get_events", limit=1)
    assert first["has_more"]
    assert first["cursor"] == first["events"][0]["id"]
    connected.begin("events", after=first["cursor"], count=3, every=0.1, limit=1)
    cancelled(app, keys, "3")
    assert [event["payment_id"] for event in connected.end()] == ["1", "2", "3"]
    everything = connected.ask("events", count=99, follow=False)
    assert [event["payment_id"] for event in everything] == ["0", "1", "2", "3"]
    last = connected.ask("get_events", after=everything[-1]["id"])
    assert (last["events"], last["cursor"], last["has_more"]) == ([], everything[-1]["id"], False)


def test_webhooks_verify_while_a_secret_is_rotated(
    connected: Driver, app: Flask, keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    server, url = shop
    open_payment(app, keys, callback_url=url)
    with app.app_context():
        new = accounts.rotate(keys.merch_id, SecretKind.PAYMENT, timedelta(hours=24), "cli").secret
    transfer(app, 50000)
    arrival = server.wait_for(1)[0]
    assert json.loads(arrival.body)["status"] == "confirm"
    for secret in (keys.payment_secret, new):
        assert read(connected, arrival, keys, payment_secret=secret)["kind"] == "accept"
