"""Rows and requests for tests, made through the product's own services and its own door."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cerber import signing
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments.models import Payment
from cerber.wallets import registry
from cerber.webhooks.models import Webhook

CALLBACK = "http://127.0.0.1:9/hook"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class MerchantKeys:
    merch_id: str
    payment_secret: str
    balance_secret: str


def make_merchant(app: Flask, merch_id: str = "shop-1") -> MerchantKeys:
    keys = MerchantKeys(merch_id, signing.new_secret(), signing.new_secret())
    with app.app_context():
        accounts.add(merch_id, "", keys.payment_secret, keys.balance_secret, "cli")
    return keys


def make_wallet(app: Flask, number: str = "", daily_limit: int | None = None) -> str:
    number = number or f"99450{next(_numbers):07}"
    with app.app_context():
        registry.add(number, f"https://m10.example/{number}", "", daily_limit, "cli")
    return number


def call(client: FlaskClient, method: str, name: str, secret: str, fields: dict[str, Any]) -> TestResponse:
    body = json.dumps(fields).encode()
    return send(client, method, name, body, signing.sign(secret, body))


def send(
    client: FlaskClient, method: str, name: str, body: bytes, signature: str, content_type: str = "application/json"
) -> TestResponse:
    headers = {"Signature": signature} if signature else {}
    return client.open(f"/bot_api/{name}/", method=method, data=body, headers=headers, content_type=content_type)


def get_wallet(client: FlaskClient, keys: MerchantKeys, **changes: Any) -> TestResponse:
    fields = {
        "payment_id": "3636363",
        "user_wallet": "994501234567",
        "sum": "500",
        "status": "pending",
        "callback_url": CALLBACK,
        "merch_id": keys.merch_id,
        "create_time": "2026-11-24T10:00:00+04:00",
    } | changes
    return call(client, "POST", "get_wallet", keys.payment_secret, fields)


def open_payment(app: Flask, keys: MerchantKeys, **changes: Any) -> int:
    """Opens a payment over the API and gives its internal key."""
    answer = get_wallet(app.test_client(), keys, **changes)
    assert answer.status_code == 200, answer.text
    payment_id = str(changes.get("payment_id", "3636363"))
    with app.app_context(), reading() as session:
        return session.scalars(
            select(Payment.id).filter_by(payment_id=payment_id).order_by(Payment.id.desc())
        ).first()  # type: ignore[return-value]


def payment(app: Flask, key: int) -> Payment:
    with app.app_context(), reading() as session:
        return session.scalars(select(Payment).filter_by(id=key)).one()


def bodies(app: Flask) -> list[str]:
    """The bodies of all webhooks, oldest first."""
    with app.app_context(), reading() as session:
        return list(session.scalars(select(Webhook.body).order_by(Webhook.id)))
