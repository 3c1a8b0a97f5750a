"""CERBER_RATE_LIMIT: a merchant's requests by kind, and an address's refused signatures."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cerber import rates, signing
from cerber.app import create_app
from cerber.config import ROOT
from tests.integration.bot_api.test_refused_signatures import counted
from tests.integration.docs.test_readme import free_port, is_ready
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet, open_payment
from tests.support.workers import until

LIMIT = 20
PAYMENT = {"payment_id": "3636363"}
pytestmark = pytest.mark.usefixtures("one_moment")


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_RATE_LIMIT": str(LIMIT)}


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of counting stands still, in the middle of a minute."""
    middle = time.monotonic() // 60 * 60 + 30
    monkeypatch.setattr(rates, "time", SimpleNamespace(monotonic=lambda: middle, sleep=time.sleep))


@pytest.fixture
def other(env: dict[str, str]) -> Iterator[FlaskClient]:
    """A client of another process, as far as counting goes."""
    app = create_app(env)
    yield app.test_client()
    dispose(app)


@pytest.fixture
def address() -> str:
    """One that nobody has been refused from yet."""
    return f"198.18.{secrets.randbelow(256)}.{secrets.randbelow(256)}"


def refused(client: FlaskClient, address: str, secret: str = "", **fields: Any) -> TestResponse:
    body = json.dumps(PAYMENT | fields).encode()
    headers = {"Signature": signing.sign(secret or signing.new_secret(), body)}
    return client.get("/bot_api/get_status/", data=body, headers=headers, environ_base={"REMOTE_ADDR": address})


def test_a_merchants_reads_are_limited_in_all_processes_together(
    app: Flask, client: FlaskClient, other: FlaskClient, keys: MerchantKeys
) -> None:
    open_payment(app, keys)
    answers = []
    for n in range(LIMIT + 4):
        name, secret = ("get_status", keys.payment_secret) if n % 3 else ("get_balance", keys.balance_secret)
        fields = PAYMENT if n % 3 else {"merch_id": keys.merch_id}
        answers.append(call((client, other)[n % 2], "GET", name, secret, fields))
    assert [answer.status_code for answer in answers] == [200] * LIMIT + [429] * 4
    told = answers[-1]
    assert (told.json["code"], told.mimetype) == ("too_many_requests", "application/problem+json")
    assert f"At most {LIMIT} requests a minute" in told.json["detail"]
    assert 1 <= int(told.headers["Retry-After"]) <= 120
    assert "status" not in told.json


def test_each_kind_and_each_merchant_is_counted_apart(app: Flask, client: FlaskClient, keys: MerchantKeys) -> None:
    make_wallet(app)
    neighbour = make_merchant(app, "shop-2")
    open_payment(app, keys)

    def codes(name: str, count: int) -> set[int]:
        fields = PAYMENT | {"status": "accept"}
        method = "POST" if name == "update_status" else "GET"
        return {call(client, method, name, keys.payment_secret, fields).status_code for _ in range(count)}

    assert codes("get_status", LIMIT) == {200}
    assert codes("get_status", 1) == {429}
    assert codes("update_status", LIMIT) == {200}
    assert codes("update_status", 1) == {429}
    assert get_wallet(client, keys).status_code == 200
    open_payment(app, neighbour)
    assert call(client, "GET", "get_status", neighbour.payment_secret, PAYMENT).status_code == 200


def test_over_the_rate_nothing_is_written_and_nothing_else_is_looked_at(
    app: Flask, client: FlaskClient, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(LIMIT):
        assert get_wallet(client, keys, payment_id=f"p{n}", sum=str(n + 1)).status_code == 200
    for changes in ({"payment_id": "new"}, {"payment_id": "p1", "sum": "2"}, {"sum": "none"}):
        with counted(app, monkeypatch) as work:
            assert get_wallet(client, keys, **changes).status_code == 429
        assert (work.statements, work.begun) == (1, 0)


def test_an_address_over_its_share_of_refusals_gets_429_in_their_place_and_a_good_signature_passes(
    app: Flask, client: FlaskClient, other: FlaskClient, keys: MerchantKeys, address: str
) -> None:
    open_payment(app, keys)
    codes = [refused((client, other)[n % 2], address).status_code for n in range(LIMIT // 10 + 3)]
    assert codes == [401] * (LIMIT // 10) + [429] * 3
    told = refused(client, address, merch_id="nobody")
    assert (told.status_code, told.json["code"]) == (429, "too_many_requests")
    assert int(told.headers["Retry-After"]) >= 1
    assert refused(client, address, keys.payment_secret).status_code == 200
    assert refused(client, address, keys.payment_secret, payment_id="none").status_code == 404
    assert refused(client, address.replace("198.18", "198.19")).status_code == 401


def test_an_ipv6_line_is_one_address(client: FlaskClient, keys: MerchantKeys) -> None:
    line = f"2001:db8:{secrets.randbelow(2**16):x}:{secrets.randbelow(2**16):x}"
    codes = [refused(client, f"{line}::{n:x}").status_code for n in range(LIMIT // 10 + 2)]
    assert codes == [401] * (LIMIT // 10) + [429] * 2
    mapped = f"198.19.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    codes = [refused(client, f"{before}{mapped}").status_code for before in ("", "::ffff:", "")]
    assert codes == [401, 401, 429]


def test_zero_lifts_both(env: dict[str, str], app: Flask, keys: MerchantKeys, address: str) -> None:
    open_payment(app, keys)
    free = create_app(env | {"CERBER_RATE_LIMIT": "0"})
    client = free.test_client()
    assert {refused(client, address).status_code for _ in range(LIMIT)} == {401}
    assert {refused(client, address, keys.payment_secret).status_code for _ in range(LIMIT + 5)} == {200}
    dispose(free)


def test_where_the_file_is_somebody_elses_each_process_counts_alone(
    env: dict[str, str],
    app: Flask,
    keys: MerchantKeys,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "rates").touch()
    (tmp_path / "rates").chmod(0o666)
    monkeypatch.setattr(rates, "shared_path", lambda: tmp_path / "rates")
    open_payment(app, keys)
    for _ in range(2):
        alone = create_app(env)
        client = alone.test_client()
        codes = [
            call(client, "GET", "get_status", keys.payment_secret, PAYMENT).status_code for _ in range(LIMIT + 1)
        ]
        assert codes == [200] * LIMIT + [429]
        dispose(alone)
    assert "counted in each process alone" in caplog.text


@pytest.mark.slow
def test_three_real_web_processes_let_no_more_pass_together(
    env: dict[str, str], app: Flask, keys: MerchantKeys
) -> None:
    open_payment(app, keys)
    port, body = free_port(), json.dumps(PAYMENT).encode()
    headers = {"Signature": signing.sign(keys.payment_secret, body)}
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--workers", "3"]
    server = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}", "wsgi:app"], cwd=ROOT, env=os.environ | env, stderr=subprocess.PIPE
    )
    try:
        until(lambda: is_ready(port))
        began = time.monotonic()
        url = f"http://127.0.0.1:{port}/bot_api/get_status/"
        with ThreadPoolExecutor(6) as pool:
            answers = pool.map(lambda _: requests.get(url, data=body, headers=headers, timeout=30), range(3 * LIMIT))
            codes = sorted(answer.status_code for answer in answers)
    finally:
        server.terminate()
        server.communicate(timeout=20)
    of_the_next_minute = LIMIT * (time.monotonic() - began) / 60
    assert LIMIT <= codes.count(200) <= LIMIT + of_the_next_minute
    assert set(codes) == {200, 429}
