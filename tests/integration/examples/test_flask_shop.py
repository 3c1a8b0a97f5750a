"""The shop with webhooks, under its own web server: what comes twice, at once or late changes nothing twice."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from flask import Flask
from sqlalchemy import select

from cerber import signing
from cerber.config import ROOT
from cerber.db.transactions import reading
from cerber.payments import decisions
from cerber.payments.models import Payment
from tests.support.factories import MerchantKeys
from tests.support.gateway import free_port, running_gateway
from tests.support.workers import until

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Page:
    """The shop as a buyer and as the gateway see it."""

    address: str
    database: Path
    secret: str

    def buy(self, wallet: str = "994501234567") -> str:
        """The id of the payment."""
        answer = requests.post(f"{self.address}/buy/coffee", {"user_wallet": wallet}, timeout=20)
        assert answer.status_code == 200, answer.text
        assert "Send 4.50 manat" in answer.text
        return answer.url.rpartition("/")[2]

    def state(self, payment_id: str) -> str:
        text = requests.get(f"{self.address}/orders/{payment_id}", timeout=20).text
        return re.findall(r"<h1>coffee: (.*)</h1>", text)[0]

    def parcels(self) -> list[str]:
        with sqlite3.connect(self.database) as database:
            return [row[0] for row in database.execute("SELECT payment_id FROM parcels")]

    def hook(self, event: str, secret: str = "", **body: str) -> int:
        """A webhook as the gateway makes it."""
        raw, at = json.dumps(body).encode(), int(time.time())
        headers = {
            "webhook-id": event,
            "webhook-timestamp": str(at),
            "webhook-signature": signing.standard_signature([secret or self.secret], event, at, raw),
        }
        return requests.post(f"{self.address}/hook", raw, headers=headers, timeout=20).status_code


@pytest.fixture
def shop(app: Flask, env: dict[str, str], keys: MerchantKeys, tmp_path: Path) -> Iterator[Page]:
    with running_gateway(env) as gateway:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        own = {
            "CERBER_URL": f"{gateway}/bot_api/",
            "MERCH_ID": keys.merch_id,
            "PAYMENT_SECRET": keys.payment_secret,
            "SHOP_URL": address,
            "SHOP_DATABASE": str(tmp_path / "shop.db"),
            "PYTHONPATH": str(ROOT / "clients" / "python"),
            "no_proxy": "*",
        }
        command = ["-m", "gunicorn", "--no-control-socket", "--threads=8", f"--bind=127.0.0.1:{port}", "shop:app"]
        server = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT / "examples/flask_shop", env=os.environ | own, stderr=subprocess.PIPE
        )
        try:
            until(lambda: answers(address))
            yield Page(address, tmp_path / "shop.db", keys.payment_secret)
        finally:
            server.terminate()
            server.communicate(timeout=20)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def transfer(app: Flask, payment_id: str, amount: int) -> None:
    with app.app_context(), reading() as session:
        payment = session.scalars(select(Payment).filter_by(payment_id=payment_id)).one()
    with app.app_context():
        decisions.record_transfer(payment.id, payment.version, "operator:a", amount)


def test_an_order_is_paid_in_parts_and_sent_off(app: Flask, shop: Page) -> None:
    payment_id = shop.buy()
    told = requests.post(f"{shop.address}/orders/{payment_id}/accept", timeout=20)
    assert told.status_code == 200
    transfer(app, payment_id, 200)
    until(lambda: shop.state(payment_id) == "part paid")
    assert shop.parcels() == []
    transfer(app, payment_id, 250)
    until(lambda: shop.state(payment_id) == "paid")
    assert shop.parcels() == [payment_id]


def test_a_cancelled_order_is_sent_off_when_its_money_comes_late(app: Flask, shop: Page) -> None:
    payment_id = shop.buy()
    requests.post(f"{shop.address}/orders/{payment_id}/cancel", timeout=20)
    until(lambda: shop.state(payment_id) == "cancelled")
    transfer(app, payment_id, 450)
    until(lambda: shop.state(payment_id) == "paid")
    assert shop.parcels() == [payment_id]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_comes_twice_at_once_or_late_changes_nothing_twice(shop: Page) -> None:
    payment_id = shop.buy()
    paid = {"status": "confirm", "payment_id": payment_id, "confirm_sum": "4.50"}
    partly = {"payment_id": payment_id, "confirm_sum": "2", "payment_sum": "4.50"}
    cancelled = {"status": "cancel", "payment_id": payment_id, "confirm_sum": "0"}
    assert shop.hook("evt_late", **cancelled) == 204  # the gateway says that it is pending
    assert shop.state(payment_id) == "new"
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda number: shop.hook("evt_paid", **paid), range(10))) == {204}
    assert shop.hook("evt_paid_again", **paid) == 204
    assert shop.hook("evt_partly", **partly) == 204  # long before, and sent again by hand
    assert shop.hook("evt_cancelled", **cancelled) == 204
    assert shop.state(payment_id) == "paid"
    assert shop.parcels() == [payment_id]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nobody_else_is_believed(shop: Page) -> None:
    payment_id = shop.buy()
    paid = {"status": "confirm", "payment_id": payment_id, "confirm_sum": "4.50"}
    assert shop.hook("evt_1", signing.new_secret(), **paid) == 400
    assert requests.post(f"{shop.address}/hook", json=paid, timeout=20).status_code == 400
    assert (shop.state(payment_id), shop.parcels()) == ("new", [])
    assert requests.post(f"{shop.address}/buy/coffee", {"user_wallet": " "}, timeout=20).status_code == 422
    assert requests.get(f"{shop.address}/orders/of-nobody", timeout=20).status_code == 404
