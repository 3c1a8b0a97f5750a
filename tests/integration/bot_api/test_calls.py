"""The merchants' API through its front door: what each call answers, and what bad input gets."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from cerber import signing
from cerber.audit.models import AuditEntry
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments import decisions, wallet_choice
from cerber.payments.models import Payment
from cerber.wallets.models import Wallet
from tests.support.clock import now
from tests.support.factories import (
    CALLBACK,
    MerchantKeys,
    bodies,
    call,
    get_wallet,
    make_merchant,
    make_wallet,
    open_payment,
    payment,
    send,
)


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    make_wallet(app, "994500000001")
    return make_merchant(app)


def count(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return session.scalar(select(func.count()).select_from(Payment)) or 0


def test_get_wallet_answers_with_link_picture_and_number(client: FlaskClient, keys: MerchantKeys) -> None:
    answer = get_wallet(client, keys)
    assert answer.status_code == 200
    assert list(answer.json) == ["payment_id", "wallet_link", "image", "wallet_number"]
    assert answer.json["payment_id"] == 3636363
    assert answer.json["wallet_number"] == "994500000001"
    assert base64.b64decode(answer.json["image"]).startswith(b"\x89PNG")


def test_the_same_again_is_the_same_payment(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    first, again = get_wallet(client, keys), get_wallet(client, keys, sum="500.00")
    assert again.json == first.json
    assert count(app) == 1


def test_another_sum_under_the_same_id_is_refused(client: FlaskClient, keys: MerchantKeys) -> None:
    get_wallet(client, keys)
    answer = get_wallet(client, keys, sum="501")
    assert (answer.status_code, answer.json["code"]) == (409, "payment_id_reused")
    assert answer.json["payment_status"] == "pending"
    assert "status" not in answer.json


def test_ids_differ_by_case(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    assert get_wallet(client, keys, payment_id="abc").json["payment_id"] == "abc"
    assert get_wallet(client, keys, payment_id="ABC", sum="7").status_code == 200
    assert count(app) == 2


def test_fifty_equal_calls_at_once_make_one_payment(app: Flask, keys: MerchantKeys) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: get_wallet(app.test_client(), keys), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert count(app) == 1


def test_no_limit_is_overrun_at_once(app: Flask) -> None:
    make_wallet(app, "994500000009", daily_limit=1000_00)
    keys = make_merchant(app)
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda n: get_wallet(app.test_client(), keys, payment_id=f"p{n}", sum="300"), range(20))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 17
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json["code"] == "no_wallet_available"
    assert int(refused.headers["Retry-After"]) > 0
    with app.app_context(), reading() as session:
        assert session.scalars(select(Wallet.expected)).one() == 900_00


def test_a_wallet_without_the_same_sum_goes_before_the_least_recently_used(app: Flask, client: FlaskClient) -> None:
    first, second = make_wallet(app), make_wallet(app)
    keys = make_merchant(app)
    numbers = [
        get_wallet(client, keys, payment_id=str(n), sum=amount).json["wallet_number"]
        for n, amount in enumerate(["5", "6", "6", "5"])
    ]
    assert numbers == [first, second, first, second]


def test_expired_payments_make_room(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wallet(app, daily_limit=500_00)
    keys = make_merchant(app)
    key = open_payment(app, keys)
    assert get_wallet(client, keys, payment_id="2").status_code == 503
    _let_expire(app, key)
    assert get_wallet(client, keys, payment_id="2").status_code == 200


def test_update_status_is_safe_to_repeat(client: FlaskClient, keys: MerchantKeys) -> None:
    get_wallet(client, keys)
    fields = {"payment_id": 3636363, "status": "accept"}
    for _ in range(2):
        answer = call(client, "POST", "update_status", keys.payment_secret, fields)
        assert answer.json == {"paymnet_id": 3636363, "payment_id": 3636363, "status": "confirming"}
    status = call(client, "GET", "get_status", keys.payment_secret, {"payment_id": "3636363"})
    assert status.json == {"payment_id": 3636363, "status": "confirming"}


def test_the_merchants_cancel_sends_a_webhook(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    get_wallet(client, keys)
    fields = {"payment_id": "3636363", "status": "cancel"}
    for _ in range(2):
        assert call(client, "POST", "update_status", keys.payment_secret, fields).json["status"] == "cancel"
    assert bodies(app) == ['{"status": "cancel", "payment_id": "3636363", "confirm_sum": "0"}']


@pytest.mark.parametrize("named", [{}, {"merch_id": "shop-1"}])
def test_the_audit_log_says_which_merchant_asked(
    app: Flask, client: FlaskClient, keys: MerchantKeys, named: dict[str, str]
) -> None:
    open_payment(app, keys)
    fields = {"payment_id": "3636363", "status": "cancel"} | named
    assert call(client, "POST", "update_status", keys.payment_secret, fields).status_code == 200
    with app.app_context(), reading() as session:
        assert session.scalars(select(AuditEntry.actor).where(AuditEntry.payment_id.is_not(None))).one() == (
            "merchant:shop-1"
        )


def test_an_expired_payment_is_expired_by_who_asks(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    key = open_payment(app, keys)
    _let_expire(app, key)
    answer = call(client, "GET", "get_status", keys.payment_secret, {"payment_id": "3636363"})
    assert answer.json["status"] == "cancel"
    assert len(bodies(app)) == 1
    revived = call(
        client, "POST", "update_status", keys.payment_secret, {"payment_id": "3636363", "status": "accept"}
    )
    assert revived.json["status"] == "confirming"


def test_get_balance_adds_up(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    key = open_payment(app, keys, sum="0.30")
    with app.app_context():
        decisions.record_transfer(key, 1, "operator:a", 10)
        decisions.record_transfer(key, 2, "operator:a", 20)
    open_payment(app, keys, payment_id="2", sum="1500")
    call(client, "POST", "update_status", keys.payment_secret, {"payment_id": "2", "status": "cancel"})
    open_payment(app, keys, payment_id="3", sum="20.5")
    answer = call(client, "GET", "get_balance", keys.balance_secret, {"merch_id": keys.merch_id})
    assert answer.text == '{"canceled_sum": 1500, "confirm_sum": 0.30, "pending_sum": 20.50}'


def test_equal_balance_requests_send_one_webhook(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    fields = {"merch_id": keys.merch_id, "start_date": None, "callback_url": CALLBACK}
    for _ in range(2):
        assert call(client, "GET", "get_balance", keys.balance_secret, fields).status_code == 200
    call(client, "GET", "get_balance", keys.balance_secret, fields | {"end_date": "2030-01-01"})
    assert len(bodies(app)) == 2


@pytest.mark.parametrize("path", ["/bot_api/get_status/", "/bot_api/get_status"])
def test_get_takes_its_fields_from_the_query_with_and_without_the_slash(
    client: FlaskClient, keys: MerchantKeys, path: str
) -> None:
    get_wallet(client, keys)
    query = "payment_id=3636363&x=a+b"
    answer = client.get(f"{path}?{query}", headers={"Signature": signing.sign(keys.payment_secret, query.encode())})
    assert answer.json == {"payment_id": 3636363, "status": "pending"}


def test_a_form_is_read_when_labelled_and_json_whatever_the_label(client: FlaskClient, keys: MerchantKeys) -> None:
    get_wallet(client, keys)
    for body in (b"payment_id=3636363&status=accept", b' {"payment_id":"3636363","status":"accept"}'):
        signature = signing.sign(keys.payment_secret, body).upper()
        answer = send(client, "POST", "update_status", body, signature, "application/x-www-form-urlencoded")
        assert answer.json["status"] == "confirming"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "not_json"),
        (b"{", "application/json", 400, "not_json"),
        (b'{"sum": NaN}', "application/json", 400, "not_json"),
        (b'{"a":' + b"[" * 9000, "application/json", 400, "not_json"),
        (b'{"a": "\xff"}', "application/json", 400, "not_json"),
        (b"[1]", "application/json", 400, "not_an_object"),
        (b"a=%zz", "application/x-www-form-urlencoded", 400, "not_json"),
        (b"a=%ff", "application/x-www-form-urlencoded", 400, "not_json"),
        (b"{}", "multipart/form-data; boundary=x", 415, "unsupported_media_type"),
        (b"{" + b" " * 20000 + b"}", "application/json", 413, "too_large"),
        (b"{}", "application/json", 401, "unauthorized"),
    ],
)
def test_what_can_not_be_read_gets_its_answer(
    client: FlaskClient, keys: MerchantKeys, body: bytes, content_type: str, status: int, code: str
) -> None:
    answer = send(client, "POST", "get_wallet", body, "", content_type)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("sum", value)
            for value in ("1e5", "٥٠٠", "5,00", "-5", "0", "0.001", "007", " 5", "", None, True, [], {})
        ],
        *[("sum", value) for value in (1e20, 0.001, 123456789)],
        *[
            ("payment_id", value)
            for value in ("", "x" * 65, "x" * 2000, "a\0b", "a ", "\u202ea", None, 1.5, True, [])
        ],
        *[("callback_url", value) for value in ("x", "ftp://a/", "http://u:p@a.az/", "http://a.az/#f", 5)],
        *[("status", value) for value in ("accept", None, 1)],
        *[("create_time", value) for value in (None, "", "x" * 65)],
        ("user_wallet", "\ud800"),
    ],
)
def test_a_bad_field_is_named_and_changes_nothing(
    app: Flask, client: FlaskClient, keys: MerchantKeys, field: str, value: Any
) -> None:
    answer = get_wallet(client, keys, **{field: value})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert count(app) == 0


def test_a_number_with_an_exponent_is_no_sum(client: FlaskClient, keys: MerchantKeys) -> None:
    body = b'{"payment_id": "1", "user_wallet": "1", "sum": 1e5, "callback_url": "%s", "merch_id": "shop-1", ' % (
        CALLBACK.encode()
    )
    body += b'"create_time": "1"}'
    answer = send(client, "POST", "get_wallet", body, signing.sign(keys.payment_secret, body))
    assert [error["field"] for error in answer.json["errors"]] == ["sum"]


def test_a_date_never_costs_a_sale(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    key = open_payment(app, keys, create_time="half past ten")
    assert payment(app, key).create_time_read is False


def test_keys_given_twice_are_refused_at_any_depth(client: FlaskClient, keys: MerchantKeys) -> None:
    body = b'{"payment_id": "1", "status": "accept", "x": [{"deep": 1, "deep": 2}]}'
    answer = send(client, "POST", "update_status", body, signing.sign(keys.payment_secret, body))
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "deep")


def test_wrong_methods_and_chunked_bodies(client: FlaskClient, keys: MerchantKeys) -> None:
    for method, name in (
        ("GET", "get_wallet"),
        ("POST", "get_status"),
        ("DELETE", "get_balance"),
        ("OPTIONS", "get_status"),
    ):
        answer = send(client, method, name, b"{}", "")
        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
        assert answer.headers["Allow"]
    chunked = client.post("/bot_api/get_wallet/", headers={"Transfer-Encoding": "chunked"})
    assert (chunked.status_code, chunked.json["code"]) == (411, "length_required")
    assert client.get("/bot_api/nothing/").json["code"] == "not_found"


@pytest.mark.parametrize("host", ["a" * 900, "a..az"])
@pytest.mark.parametrize("path", ["/bot_api/get_wallet/", "/bot_api/get_wallet", "/bot_api/nothing/"])
def test_a_host_that_is_none_gets_a_problem_too(client: FlaskClient, path: str, host: str) -> None:
    answer = client.post(path, data=b"{}", headers={"Host": host})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert (answer.json["code"], answer.json["title"]) == ("bad_request", "Bad Request")
    assert "status" not in answer.json
    assert host not in answer.text


def test_a_request_that_is_too_large_is_so_under_any_host(client: FlaskClient) -> None:
    answer = client.post("/bot_api/get_wallet/", data=b"x" * 20_000, headers={"Host": "a" * 900})
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize("host", ["a b", "ex<ample", "", "a:99999", "[::1"])
def test_a_strange_host_costs_no_sale(client: FlaskClient, keys: MerchantKeys, host: str) -> None:
    fields = {"payment_id": "1", "user_wallet": "2", "sum": "3", "callback_url": CALLBACK, "create_time": "now"}
    body = json.dumps(fields | {"merch_id": keys.merch_id}).encode()
    headers = {"Host": host, "Signature": signing.sign(keys.payment_secret, body)}
    assert client.post("/bot_api/get_wallet/", data=body, headers=headers).status_code == 200


def test_a_page_under_a_host_that_is_none_gets_no_problem(client: FlaskClient) -> None:
    answer = client.get("/login", headers={"Host": "a..az"})
    assert (answer.status_code, answer.mimetype) == (400, "text/html")


def test_every_refusal_is_the_same(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    blocked = make_merchant(app, "shop-3")
    with app.app_context():
        accounts.set_blocked("shop-3", "cli", blocked=True)
    body = json.dumps({"merch_id": keys.merch_id}).encode()
    good = signing.sign(keys.payment_secret, body)
    signatures = ["", good[:-1], good + "0", "x" * 64, "0" * 64, signing.sign(other.payment_secret, body)]
    answers = [send(client, "POST", "get_wallet", body, signature) for signature in signatures]
    answers.append(get_wallet(client, blocked))
    answers.append(get_wallet(client, MerchantKeys("nobody", keys.payment_secret, "")))
    answers.append(call(client, "GET", "get_balance", keys.payment_secret, {"merch_id": keys.merch_id}))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1


def test_another_merchants_payment_is_not_found(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    other = make_merchant(app, "shop-2")
    open_payment(app, keys)
    fields = {"payment_id": "3636363", "status": "cancel"}
    answer = call(client, "POST", "update_status", other.payment_secret, fields)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    theirs = call(client, "POST", "update_status", other.payment_secret, fields | {"merch_id": keys.merch_id})
    assert theirs.status_code == 401


def test_a_webhook_played_back_is_no_request(client: FlaskClient, keys: MerchantKeys) -> None:
    body = {"status": "cancel", "payment_id": "3636363", "confirm_sum": "0"}
    answer = call(client, "POST", "update_status", keys.payment_secret, body)
    assert (answer.status_code, answer.json["code"]) == (422, "webhook_body")
    assert answer.json["errors"]


def test_both_secrets_work_until_the_overlap_ends(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    from datetime import timedelta

    get_wallet(client, keys)
    with app.app_context():
        new = accounts.rotate(keys.merch_id, "payment", timedelta(hours=24), "cli").secret
    status = {"payment_id": "3636363"}
    for secret in (keys.payment_secret, new):
        assert call(client, "GET", "get_status", secret, status).status_code == 200
    with app.app_context():
        newest = accounts.rotate(keys.merch_id, "payment", timedelta(0), "cli").secret
    answers = [call(client, "GET", "get_status", s, status).status_code for s in (keys.payment_secret, new, newest)]
    assert answers == [401, 401, 200]


def test_a_database_that_is_away_is_503_and_leaves_nothing(
    app: Flask, client: FlaskClient, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*args: object) -> int:
        raise OperationalError("SELECT secret", {}, Exception("server has gone away"))

    monkeypatch.setattr(wallet_choice, "take", away)
    answer = get_wallet(client, keys)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]
    assert "SELECT" not in answer.text
    assert count(app) == 0


def _let_expire(app: Flask, key: int) -> None:
    """Moves a payment's time-to-live into the past, as the clock would."""
    with app.app_context():
        row = db.session.get_one(Payment, key)
        row.due_at = now() - timedelta(seconds=1)
        db.session.commit()
