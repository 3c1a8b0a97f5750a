"""The finer lines of contract section 1 and 4, through the front door."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cerber import signing
from cerber.app import create_app
from cerber.db.transactions import reading
from cerber.payments.models import Payment
from cerber.timestamps import utc_text
from tests.support.databases import dispose
from tests.support.factories import CALLBACK, MerchantKeys, call, get_wallet, open_payment, send


@pytest.fixture
def guarded(env: dict[str, str], keys: MerchantKeys) -> Iterator[FlaskClient]:
    """A client of the same shop without CERBER_ALLOW_PRIVATE_CALLBACKS."""
    app = create_app(env | {"CERBER_ALLOW_PRIVATE_CALLBACKS": "0"})
    yield app.test_client()
    dispose(app)


def opened_with(client: FlaskClient, keys: MerchantKeys, create_time: str) -> TestResponse:
    """A get_wallet whose create_time is this literal JSON."""
    fields = {"payment_id": "1", "user_wallet": "2", "sum": "3", "callback_url": CALLBACK, "merch_id": keys.merch_id}
    body = (json.dumps(fields)[:-1] + f', "create_time": {create_time}}}').encode()
    return send(client, "POST", "get_wallet", body, signing.sign(keys.payment_secret, body))


def only_payment(app: Flask) -> Payment:
    with app.app_context(), reading() as session:
        return session.scalars(select(Payment)).one()


@pytest.mark.parametrize("field", ["payment_id", "user_wallet"])
@pytest.mark.parametrize("character", ["\u3164", "\u2800", "\u034f", "\u115f", "\uffa0", "\ufe0f", "\u2028"])
def test_what_nobody_can_see_is_in_no_id(client: FlaskClient, keys: MerchantKeys, field: str, character: str) -> None:
    answer = get_wallet(client, keys, **{field: f"a{character}b"})
    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("literal", "text", "instant"),
    [
        ("1795500000", "1795500000", "2026-11-24T06:00:00Z"),
        ("1795500000.1234567", "1795500000.1234567", "2026-11-24T06:00:00.123457Z"),
        ("1795500000123", "1795500000123", "2026-11-24T06:00:00.123000Z"),
        ("1795500000123.5", "1795500000123.5", "2026-11-24T06:00:00.123500Z"),
        ('"20261124"', "20261124", "2026-11-23T20:00:00Z"),
        ("20261124", "20261124", "2026-11-23T20:00:00Z"),
    ],
)
def test_a_create_time_may_be_any_number_and_is_kept_as_its_text(
    app: Flask, client: FlaskClient, keys: MerchantKeys, literal: str, text: str, instant: str
) -> None:
    assert opened_with(client, keys, literal).status_code == 200
    row = only_payment(app)
    assert (row.create_time_text, row.create_time_read, utc_text(row.create_time)) == (text, True, instant)


@pytest.mark.parametrize("literal", ["5", "-1.5", "1e9", "1.5e300", "0", '"20261340"', '"tomorrow"'])
def test_a_create_time_that_says_nothing_is_the_time_of_receipt(
    app: Flask, client: FlaskClient, keys: MerchantKeys, literal: str
) -> None:
    assert opened_with(client, keys, literal).status_code == 200
    row = only_payment(app)
    assert (row.create_time_read, row.create_time) == (False, row.opened_at)
    assert row.create_time_text == literal.strip('"')


@pytest.mark.parametrize("literal", ["true", "[]", "{}", "null", "1." + "1" * 64])
def test_a_create_time_that_is_neither_text_nor_number_is_refused(
    client: FlaskClient, keys: MerchantKeys, literal: str
) -> None:
    answer = opened_with(client, keys, literal)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "create_time")


@pytest.mark.parametrize("date", ["20261340", "2026", "999999999", "0", 20261340, 5])
@pytest.mark.parametrize("field", ["start_date", "end_date"])
def test_digits_that_are_no_date_are_refused(
    client: FlaskClient, keys: MerchantKeys, field: str, date: str | int
) -> None:
    answer = call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id, field: date})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("start", "end", "holds"),
    [
        ("20261124", "20261124", True),
        ("20261123", "20261123", False),
        (20261124, None, True),
        ("", "1795500000", True),
        (None, "1795499999", False),
        ("1795500000000", "", True),
        ("1795500001", None, False),
    ],
)
def test_a_balance_holds_what_lies_in_its_interval(
    app: Flask, client: FlaskClient, keys: MerchantKeys, start: object, end: object, holds: bool
) -> None:
    open_payment(app, keys, create_time="1795500000")
    fields = {"merch_id": keys.merch_id, "start_date": start, "end_date": end}
    answer = call(client, "GET", "get_balance", keys.balance_secret, fields)
    assert answer.json["pending_sum"] == (500 if holds else 0)


def test_a_start_after_the_end_is_refused(client: FlaskClient, keys: MerchantKeys) -> None:
    fields = {"merch_id": keys.merch_id, "start_date": "20261125", "end_date": "20261124"}
    answer = call(client, "GET", "get_balance", keys.balance_secret, fields)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "start_date")


@pytest.mark.parametrize("port", ["22", "25", "6379", "3306", "11211", "6000", "10080", "1023"])
def test_no_webhook_goes_where_another_service_listens(
    client: FlaskClient, guarded: FlaskClient, keys: MerchantKeys, port: str
) -> None:
    url = f"https://shop.example.com:{port}/hook"
    answer = get_wallet(guarded, keys, callback_url=url)
    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, ["callback_url"])
    fields = {"merch_id": keys.merch_id, "callback_url": url}
    assert call(guarded, "GET", "get_balance", keys.balance_secret, fields).status_code == 422
    assert get_wallet(client, keys, callback_url=url).status_code == 200


def test_no_answer_of_the_api_is_kept(client: FlaskClient, keys: MerchantKeys) -> None:
    big = b"{" + b" " * 20_000 + b"}"
    answers = [
        get_wallet(client, keys),
        call(client, "GET", "get_status", keys.payment_secret, {"payment_id": "3636363"}),
        call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id}),
        call(client, "GET", "get_status", keys.payment_secret, {"payment_id": "none"}),
        send(client, "POST", "get_wallet", b"{}", ""),
        send(client, "POST", "get_wallet", b"[", ""),
        send(client, "POST", "get_wallet", big, ""),
        send(client, "DELETE", "get_wallet", b"{}", ""),
        get_wallet(client, keys, sum="0"),
        client.get("/bot_api/nothing/"),
        client.get("/bot_api"),
        client.post("/bot_api/get_wallet/", headers={"Transfer-Encoding": "chunked"}),
    ]
    codes = [answer.status_code for answer in answers]
    assert codes == [200, 200, 200, 404, 401, 400, 413, 405, 422, 404, 404, 411]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert client.get("/health/live").headers.get("Cache-Control") != "no-store"


def test_a_webhook_played_back_for_a_payment_that_is_not_there_is_still_no_request(
    client: FlaskClient, keys: MerchantKeys
) -> None:
    for body in (
        {"status": "confirm", "payment_id": "none", "confirm_sum": "500"},
        {"payment_id": 77, "confirm_sum": "200", "payment_sum": "500"},
    ):
        answer = call(client, "POST", "update_status", keys.payment_secret, body)
        assert (answer.status_code, answer.json["code"]) == (422, "webhook_body")
        assert answer.json["errors"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=1&a=2&merch_id=shop-1", "application/x-www-form-urlencoded"),
        (b'{"merch_id": "shop-1", "x": {"y": [[{"a": 1, "\\u0061": 2}]]}}', "application/json"),
        (b'{"merch_id": "shop-1", "a": 1, "a": 1}', "text/plain"),
    ],
)
def test_a_key_given_twice_is_named(client: FlaskClient, keys: MerchantKeys, body: bytes, content_type: str) -> None:
    answer = send(client, "GET", "get_balance", body, signing.sign(keys.balance_secret, body), content_type)
    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, ["a"])
    query = b"merch_id=shop-1&b=1&b=2"
    headers = {"Signature": signing.sign(keys.balance_secret, query)}
    answer = client.get(f"/bot_api/get_balance/?{query.decode()}", headers=headers)
    assert (answer.status_code, [error["field"] for error in answer.json["errors"]]) == (422, ["b"])


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "Multipart/Mixed", "multipart/related"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_is_labelled_multipart_is_refused_whatever_is_in_it(
    client: FlaskClient, keys: MerchantKeys, content_type: str, method: str
) -> None:
    name = "get_wallet" if method == "POST" else "get_balance"
    for body in (
        b'{"merch_id": "shop-1"}',
        b"[",
        b"",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--',
    ):
        answer = send(client, method, name, body, "", content_type)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_where_several_answers_fit_the_order_is_the_contracts(client: FlaskClient, keys: MerchantKeys) -> None:
    big = b"[" + b" " * 20_000
    multipart = "multipart/form-data; boundary=x"

    def code(method: str, name: str, body: bytes, secret: str = "", content_type: str = "application/json") -> str:
        signature = signing.sign(secret, body) if secret else ""
        return str(send(client, method, name, body, signature, content_type).json["code"])

    assert code("DELETE", "get_wallet", big, content_type=multipart) == "too_large"
    assert code("DELETE", "get_wallet", b"[", content_type=multipart) == "method_not_allowed"
    assert code("POST", "get_wallet", b"[", content_type=multipart) == "unsupported_media_type"
    assert code("POST", "get_wallet", b"[1]") == "not_an_object"
    assert code("POST", "get_wallet", b'{"sum": "0", "sum": "1"}', keys.payment_secret) == "unauthorized"
    assert (
        code("POST", "update_status", b'{"payment_id": "none", "status": "paid"}', keys.payment_secret) == "invalid"
    )
    assert code("POST", "update_status", b'{"payment_id": "none"}', keys.payment_secret) == "invalid"
    assert code("POST", "update_status", b'{"payment_id": "none", "status": "paid"}') == "unauthorized"
    assert (
        code("POST", "update_status", b'{"payment_id": "none", "status": "accept"}', keys.payment_secret)
        == "not_found"
    )
    assert code("GET", "get_status", b'{"payment_id": "none", "merch_id": 1.5}', keys.payment_secret) == "invalid"
    get_wallet(client, keys)
    reused = {"payment_id": "3636363", "sum": "0"}
    assert get_wallet(client, keys, **reused).json["code"] == "invalid"
