"""A refused signature tells nothing, neither by its answer nor by what it cost (contract section 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from cerber import signing
from cerber.app import create_app
from cerber.db.engines import db
from cerber.merchants import accounts
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, open_payment, send

OTHERS = 20


@dataclass
class Work:
    """What one request took: statements, transactions begun to write, digests."""

    statements: int = 0
    begun: int = 0
    digests: int = 0


@dataclass(frozen=True)
class Request:
    method: str
    name: str
    body: bytes
    headers: dict[str, str]

    def sent(self, client: FlaskClient) -> Any:
        return client.open(f"/bot_api/{self.name}/", method=self.method, data=self.body, headers=self.headers)


@contextmanager
def counted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work, one, of_many = Work(), signing.digest, signing.PreparedKey.digest

    def digest(key: bytes, message: bytes) -> bytes:
        work.digests += 1
        return one(key, message)

    def prepared(key: signing.PreparedKey, message: bytes) -> bytes:
        work.digests += 1
        return of_many(key, message)

    def statement(*_: object) -> None:
        work.statements += 1

    def begun(*_: object) -> None:
        work.begun += 1

    with app.app_context(), monkeypatch.context() as patch:
        engines = list(db.engines.values())
        for engine in engines:
            event.listen(engine, "before_cursor_execute", statement)
        event.listen(db.engine, "begin", begun)
        patch.setattr(signing, "digest", digest)
        patch.setattr(signing.PreparedKey, "digest", prepared)
        try:
            yield work
        finally:
            event.remove(db.engine, "begin", begun)
            for engine in engines:
                event.remove(engine, "before_cursor_execute", statement)


def request(method: str, name: str, fields: dict[str, Any], *, secret: str = "", **headers: str) -> Request:
    body = json.dumps(fields).encode()
    signed = {"Signature": signing.sign(secret, body)} if secret else {}
    return Request(method, name, body, signed | headers)


@pytest.fixture
def crowd(app: Flask, keys: MerchantKeys) -> dict[str, MerchantKeys]:
    """`shop-1` with a payment, one that is blocked, one that wants V2, one that asks from elsewhere, and others."""
    open_payment(app, keys)
    named = {name: make_merchant(app, name) for name in ("blocked", "v2", "elsewhere")}
    for n in range(OTHERS):
        make_merchant(app, f"other-{n}")
    for one in named.values():
        open_payment(app, one, payment_id=f"of-{one.merch_id}")
    with app.app_context():
        accounts.set_blocked("blocked", "cli", blocked=True)
        accounts.require_v2("v2", "cli", required=True)
        accounts.set_networks("elsewhere", ["203.0.113.0/24"], "cli")
    return named | {"shop-1": keys}


def refused(crowd: dict[str, MerchantKeys], names: bool) -> list[Request]:
    """All that gets a 401: of calls that name their merchant, or of those that don't."""
    return _refused_by_name(crowd) if names else _refused_without_a_name(crowd)


def _refused_by_name(crowd: dict[str, MerchantKeys]) -> list[Request]:
    wrong, asked = signing.new_secret(), {"merch_id": "shop-1"}
    return [
        *(request("POST", "get_wallet", {"merch_id": name}, secret=wrong) for name in ("shop-1", "nobody")),
        request("POST", "get_wallet", asked),
        request("POST", "get_wallet", asked, Signature="x"),
        request("POST", "get_wallet", {}, secret=wrong),
        request("POST", "get_wallet", {"merch_id": " x"}, secret=wrong),
        request("GET", "get_balance", asked, secret=crowd["shop-1"].payment_secret),
        request("GET", "get_balance", {"merch_id": "nobody"}, secret=crowd["shop-1"].balance_secret),
        request("POST", "update_status", asked | {"payment_id": "3636363"}, secret=crowd["v2"].payment_secret),
        *(
            request("GET", "get_status", {"merch_id": name}, secret=crowd[name].payment_secret)
            for name in ("blocked", "v2", "elsewhere")
        ),
        request("POST", "get_wallet", asked, secret=crowd["shop-1"].payment_secret, **{"Signature-V2": "t=0"}),
    ]


def _refused_without_a_name(crowd: dict[str, MerchantKeys]) -> list[Request]:
    wrong = signing.new_secret()
    ids = ("3636363", "none", "of-blocked", "of-v2", "of-elsewhere", "", "x" * 65)
    return [
        *(request("POST", "update_status", {"payment_id": one, "status": "accept"}, secret=wrong) for one in ids),
        *(request("GET", "get_status", {"payment_id": one}) for one in ids),
        *(
            request("GET", "get_status", {"payment_id": f"of-{name}"}, secret=crowd[name].payment_secret)
            for name in ("blocked", "v2", "elsewhere")
        ),
        request("GET", "get_status", {"payment_id": "3636363", "merch_id": 5.5}, secret=wrong),
        request("POST", "update_status", {"confirm_sum": "1"}, secret=crowd["shop-1"].balance_secret),
    ]


@pytest.mark.parametrize("names", [True, False], ids=["calls that name a merchant", "calls that name none"])
def test_every_refusal_is_the_same_after_the_same_work(
    app: Flask, crowd: dict[str, MerchantKeys], names: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, requests = app.test_client(), refused(crowd, names)
    requests[0].sent(client)  # loads the secrets, whatever it asks for
    answers, works = [], []
    for one in requests:
        with counted(app, monkeypatch) as work:
            answers.append(one.sent(client))
        works.append((one, work))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert len({str(sorted(answer.headers)) for answer in answers}) == 1
    digests = 2 if names else OTHERS + len(crowd) - 1
    for one, work in works:
        assert (one, work) == (one, Work(statements=1, begun=0, digests=digests))


@pytest.mark.slow
def test_the_first_request_after_a_start_costs_the_same_for_whatever_it_asks(
    env: dict[str, str], crowd: dict[str, MerchantKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = signing.new_secret()
    ask = [{"merch_id": "shop-1"}, {"merch_id": "nobody"}, {"merch_id": "blocked"}, {}]
    pay = [{"payment_id": "3636363"}, {"payment_id": "none"}, {"payment_id": "of-v2"}]
    for name, method, asked in (("get_wallet", "POST", ask), ("get_status", "GET", pay)):
        works = []
        for fields in asked:
            started = create_app(env)
            with counted(started, monkeypatch) as work:
                answer = request(method, name, fields, secret=wrong).sent(started.test_client())
            assert answer.status_code == 401
            works.append(work)
            dispose(started)
        assert works == [works[0]] * len(works)
        assert works[0].begun == 0


def test_a_good_signature_costs_one_statement_and_few_digests(
    app: Flask, crowd: dict[str, MerchantKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, keys = app.test_client(), crowd["shop-1"]
    asked = request("GET", "get_status", {"payment_id": "3636363"}, secret=keys.payment_secret)
    for _ in range(2):
        assert asked.sent(client).status_code == 200
    with counted(app, monkeypatch) as work:
        assert asked.sent(client).status_code == 200
    assert work.statements == 1
    assert work.digests <= 8
    unknown = request("GET", "get_status", {"payment_id": "of-v2"}, secret=keys.payment_secret)
    with counted(app, monkeypatch) as work:
        assert unknown.sent(client).status_code == 404
    assert work.statements == 1


def test_what_is_kept_of_secrets_is_one_entry_a_merchant(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    make_merchant(app, "other")
    open_payment(app, keys)
    secret = keys.payment_secret
    for _ in range(30):
        with app.app_context():
            secret = accounts.rotate(keys.merch_id, signing.SecretKind.PAYMENT, timedelta(hours=1), "cli").secret
        assert call(client, "GET", "get_status", secret, {"payment_id": "3636363"}).status_code == 200
    ring = app.extensions["cerber_ring"].ring
    assert sorted(entry.merch_id for entry in ring.entries.values()) == sorted(ring.by_name) == ["other", "shop-1"]
    assert len(ring.order) == 3  # the other's secret, and both of the one that rotates


# What is changed of a merchant, and what its next request is answered.
CHANGES: list[tuple[Any, tuple[Any, ...], dict[str, bool], int]] = [
    (accounts.set_blocked, ("cli",), {"blocked": True}, 401),
    (accounts.set_blocked, ("cli",), {"blocked": False}, 200),
    (accounts.set_networks, (["192.0.2.7"], "cli"), {}, 401),
    (accounts.set_networks, (["192.0.2.7", "127.0.0.0/8"], "cli"), {}, 200),
]


def test_each_change_holds_in_every_process_from_the_next_request_on(
    env: dict[str, str], app: Flask, keys: MerchantKeys
) -> None:
    """Two processes, each with its own ring: here the one that asks is not the one that changes."""
    other = create_app(env)
    client, asked = other.test_client(), {"payment_id": "3636363"}
    open_payment(app, keys)

    def status(secret: str, **more: str) -> int:
        return call(client, "GET", "get_status", secret, asked | more).status_code

    def change(change: Any, *arguments: Any, **options: Any) -> Any:
        with app.app_context():
            return change(keys.merch_id, *arguments, **options)

    for more in ({}, {"merch_id": keys.merch_id}):
        old = keys.payment_secret
        assert status(old, **more) == 200
        for deed, given, options, answer in CHANGES:
            change(deed, *given, **options)
            assert status(old, **more) == answer
        change(accounts.set_networks, [], "cli")
        new = change(accounts.rotate, signing.SecretKind.PAYMENT, timedelta(0), "cli").secret
        assert [status(old, **more), status(new, **more)] == [401, 200]
        keys = MerchantKeys(keys.merch_id, new, keys.balance_secret)
    added = make_merchant(app, "added")
    assert get_wallet(client, added).status_code == 200
    dispose(other)


def test_a_merchant_who_got_the_id_of_a_deleted_one_is_not_taken_for_it(app: Flask, client: FlaskClient) -> None:
    """SQLite gives the highest id out again once its row is gone."""
    from sqlalchemy import delete

    from cerber.merchants.models import Gate, Merchant, MerchantSecret

    for _ in range(3):
        gone = make_merchant(app, "gone")
        assert call(client, "GET", "get_status", gone.payment_secret, {"payment_id": "1"}).status_code == 404
        with app.app_context():
            for table in (Gate, MerchantSecret, Merchant):
                db.session.execute(delete(table))
            db.session.commit()
        new = make_merchant(app, "new")
        assert call(client, "GET", "get_status", new.payment_secret, {"payment_id": "1"}).status_code == 404
        assert call(client, "GET", "get_status", gone.payment_secret, {"payment_id": "1"}).status_code == 401
        with app.app_context():
            for table in (Gate, MerchantSecret, Merchant):
                db.session.execute(delete(table))
            db.session.commit()


def test_a_request_from_elsewhere_is_refused_like_any_other(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    with app.app_context():
        accounts.set_networks(keys.merch_id, ["203.0.113.0/24", "2001:db8::/32"], "cli")
    body = json.dumps({"merch_id": keys.merch_id}).encode()
    signature = signing.sign(keys.balance_secret, body)
    statuses = {
        address: client.get(
            "/bot_api/get_balance/",
            data=body,
            headers={"Signature": signature},
            environ_base={"REMOTE_ADDR": address},
        ).status_code
        for address in ("203.0.113.9", "::ffff:203.0.113.9", "2001:db8:1::5", "203.0.114.1", "2001:db9::1", "::1", "")
    }
    assert list(statuses.values()) == [200, 200, 200, 401, 401, 401, 401]
    assert send(client, "GET", "get_balance", body, signature).status_code == 401
