"""`Signature-V2` through the front door: what it binds, and that nothing tells why it is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cerber import signing
from cerber.merchants import accounts
from tests.support.clock import Clock
from tests.support.factories import MerchantKeys, get_wallet, make_wallet, open_payment

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "signature-v2-vectors.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = VECTORS["cases"]
NEW = next(case["secret"] for case in CASES if "rotation" in case["name"])
BALANCE = next(case["secret"] for case in CASES if "balance" in case["name"])
NOW = 1795500000


@pytest.fixture
def vector_shop(app: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> MerchantKeys:
    """The merchant of the vectors, at their time, in the middle of a rotation of its payment secret."""
    clock.stop(datetime.fromtimestamp(NOW, UTC))
    make_wallet(app)
    shop = MerchantKeys("shop-1", CASES[0]["secret"], BALANCE)
    with app.app_context():
        accounts.add("shop-1", "", shop.payment_secret, shop.balance_secret, "cli")
        monkeypatch.setattr(signing, "new_secret", lambda: NEW)
        accounts.rotate("shop-1", signing.SecretKind.PAYMENT, timedelta(hours=24), "cli")
    return shop


def ask(
    client: FlaskClient,
    method: str,
    path: str,
    v2: str | None,
    message: bytes,
    v1: str | None = None,
    in_body: bool = False,
) -> TestResponse:
    """Its message is the query string, or `in_body` the body."""
    headers = {name: value for name, value in (("Signature", v1), ("Signature-V2", v2)) if value is not None}
    kind = "application/json" if message[:1] == b"{" else "application/x-www-form-urlencoded"
    carried = {"data": message, "content_type": kind} if in_body else {"query_string": message.decode()}
    return client.open(path, method=method, headers=headers, **carried)  # type: ignore[arg-type]


def signed(keys: MerchantKeys, path: str, message: bytes, at: float | None = None, method: str = "GET") -> str:
    moment = datetime.now(UTC).timestamp() if at is None else at
    return signing.sign_v2(keys.payment_secret, method, path, int(moment), message)


def test_every_vector_is_let_in(client: FlaskClient, vector_shop: MerchantKeys) -> None:
    for case in CASES:
        message, in_body = (case["body"] or case["query"]).encode(), case["body"] is not None
        answer = ask(client, case["method"], case["asked"], case["Signature-V2"], message, in_body=in_body)
        assert (case["name"], answer.status_code) == (case["name"], 200), answer.text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_vector_signs_no_other_call_method_time_or_message(
    client: FlaskClient, vector_shop: MerchantKeys, case: dict[str, Any]
) -> None:
    get_wallet(client, vector_shop)
    message, v2 = (case["body"] or case["query"]).encode(), case["Signature-V2"]
    for name in ("get_wallet", "update_status", "get_status", "get_balance", "get_events"):
        method = "POST" if name in ("get_wallet", "update_status") else "GET"
        if f"/bot_api/{name}/" != case["path"]:
            assert ask(client, method, f"/bot_api/{name}/", v2, message, in_body=True).status_code == 401
    one_later, one_digit = v2.replace(str(NOW), str(NOW + 1)), v2[:-1] + ("0" if v2[-1] != "0" else "1")
    for changed in (one_later, one_digit):
        assert ask(client, case["method"], case["path"], changed, message, in_body=True).status_code == 401
    assert ask(client, case["method"], case["path"], v2, message + b" ", in_body=True).status_code == 401
    if case["method"] == "GET":
        assert ask(client, "HEAD", case["path"], v2, message, in_body=True).status_code == 401


def test_a_request_is_let_in_for_five_minutes(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    open_payment(app, keys)
    message, path, now = b"payment_id=3636363", "/bot_api/get_status/", datetime.now(UTC).timestamp()
    statuses = [
        ask(client, "GET", path, signed(keys, path, message, at=now + seconds), message).status_code
        for seconds in (-310, -290, 0, 290, 310)
    ]
    assert statuses == [401, 200, 200, 200, 401]


def test_where_both_come_v2_alone_counts(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    open_payment(app, keys)
    message, path = b"payment_id=3636363", "/bot_api/get_status/"
    v1, v2 = signing.sign(keys.payment_secret, message), signed(keys, path, message)
    assert ask(client, "GET", path, v2, message, v1="0" * 64).status_code == 200
    for broken in ("", " ", v2[:-1], v2 + "," + v2, signed(keys, "/bot_api/get_balance/", message)):
        assert ask(client, "GET", path, broken, message, v1=v1).status_code == 401
    assert ask(client, "GET", path, None, message, v1=v1).status_code == 200


def test_a_merchant_set_to_v2_gets_nothing_without_it_from_the_next_request_on(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    open_payment(app, keys)
    path = "/bot_api/get_status/"
    for message in (b"payment_id=3636363", b"payment_id=3636363&merch_id=shop-1"):
        v1 = signing.sign(keys.payment_secret, message)
        assert ask(client, "GET", path, None, message, v1=v1).status_code == 200
        with app.app_context():
            accounts.require_v2(keys.merch_id, "cli", required=True)
        assert ask(client, "GET", path, None, message, v1=v1).status_code == 401
        assert ask(client, "GET", path, signed(keys, path, message), message).status_code == 200
        with app.app_context():
            accounts.require_v2(keys.merch_id, "cli", required=False)
        assert ask(client, "GET", path, None, message, v1=v1).status_code == 200


def test_the_digest_of_a_v2_request_is_no_signature_of_a_form(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    """What was signed for a query begins with the call; as a form its later fields would be read all the same."""
    open_payment(app, keys)
    query = b"x=1&payment_id=3636363"
    v2 = signed(keys, "/bot_api/get_status/", query)
    assert ask(client, "GET", "/bot_api/get_status/", v2, query).status_code == 200
    form = signing.message_v2("GET", "/bot_api/get_status/", int(v2[2:12]), query)
    form_type = "application/x-www-form-urlencoded"
    answer = client.get("/bot_api/get_status/", data=form, headers={"Signature": v2[-64:]}, content_type=form_type)
    assert answer.status_code == 401


def test_a_first_use_by_v2_moves_the_webhooks_to_the_new_secret(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    open_payment(app, keys)
    with app.app_context():
        new = accounts.rotate(keys.merch_id, signing.SecretKind.PAYMENT, timedelta(hours=24), "cli").secret
    message, path = b"payment_id=3636363", "/bot_api/get_status/"
    rotated = MerchantKeys(keys.merch_id, new, keys.balance_secret)
    for used, by in ((False, keys), (True, rotated), (True, keys)):
        assert ask(client, "GET", path, signed(by, path, message), message).status_code == 200
        with app.app_context():
            newest = accounts.find(keys.merch_id)[1][1]
        assert (newest.kind, newest.slot, newest.first_used_at is not None) == ("payment", 0, used)
