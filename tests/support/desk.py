"""An operator at a browser, and payments to decide about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.payments import opening
from cerber.payments.models import Payment
from tests.support.clock import now

PASSWORD = "correct horse battery"
NBSP = "\u00a0"


@dataclass
class Browser:
    """A client that takes its CSRF token from the page before, as a form does."""

    client: FlaskClient

    def token(self) -> str:
        page = self.client.get("/login", follow_redirects=True).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found
        return found[1]

    def post(self, path: str, **fields: Any) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token(), **fields})

    def log_in(self, username: str, password: str = PASSWORD, totp: str = "", target: str = "") -> TestResponse:
        query = f"?next={target}" if target else ""
        return self.post(f"/login{query}", username=username, password=password, totp=totp)


@dataclass
class Shop:
    """A merchant with one wallet, and what the database knows of its payments."""

    app: Flask

    def open(self, payment_id: str = "order-1", total: int = 50_000, payer: str = "994770001122", **more: Any) -> int:
        with self.app.app_context():
            merchant = self._one(select(Merchant.id))
            made = {"create_time": now(), "create_time_text": "2026-11-24", **more}
            opening.open_payment(merchant, opening.Opening(payment_id, payer, total, "http://127.0.0.1/cb", **made))
            return int(self._one(select(Payment.id).where(Payment.payment_id == payment_id)))

    def payment(self, pk: int) -> Payment:
        with self.app.app_context():
            found: Payment = self._one(select(Payment).where(Payment.id == pk))
            return found

    def all(self, model: Any) -> list[Any]:
        with self.app.app_context(), reading() as session:
            return list(session.scalars(select(model).order_by(model.id)))

    def _one(self, query: Any) -> Any:
        with reading() as session:
            return session.scalars(query).one()


# Who gets in
