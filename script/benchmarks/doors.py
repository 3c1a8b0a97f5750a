"""What merchants, operators and monitors ask for, in the process itself: each thing as often as one likes."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from benchmarks.histories import History
from benchmarks.places import Place
from cerber import signing
from cerber.app import create_app
from cerber.context import system_clock
from cerber.db.engines import db
from cerber.db.paging import EPOCH
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.operators import staff
from cerber.payments.models import Payment, Transfer
from cerber.wallets.models import Wallet

TOKEN = "the-token-of-the-benchmarks"  # nosec B105 - opens nothing but what the bench starts
Deed = Callable[[], TestResponse]


@dataclass
class Doors:
    """One history, its first merchant, and an operator who has logged in."""

    history: History
    app: Flask = field(init=False)
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        at: Place = replace(self.history.at, env=self.history.at.env | {"CERBER_METRICS_TOKEN": TOKEN})
        self.app = create_app(at.env)
        self.client = self.app.test_client()
        username, password = f"bench-{secrets.token_hex(4)}", secrets.token_hex(16)
        with self.app.app_context():
            staff.add(username, password, "admin", "benchmark")
        self.token = self._token()
        self.post("/login", username=username, password=password)
        self.token = self._token()
        with self.app.app_context(), reading() as session:
            mine = select(Payment).join(Merchant, Merchant.id == Payment.merchant_id)
            mine = mine.where(Payment.status == "accept", Merchant.merch_id == self.history.merchant["merch_id"])
            middle = mine.order_by(Payment.opened_at).offset(self.history.payments // 8).limit(1)
            self.old: Payment = session.scalars(middle).one()
            self.reference = session.scalars(
                select(Transfer.reference).where(Transfer.reference.is_not(None))
            ).first()
            self.wallet = session.scalars(select(Wallet.number).order_by(Wallet.id)).first()

    def close(self) -> None:
        with self.app.app_context():
            for engine in db.engines.values():
                engine.dispose()

    def call(self, method: str, name: str, kind: str, **fields: object) -> TestResponse:
        body = json.dumps({"merch_id": self.history.merchant["merch_id"], **fields}).encode()
        headers = {"Signature": signing.sign(self.history.merchant[f"{kind}_secret"], body)}
        return self.client.open(f"/bot_api/{name}/", method=method, data=body, headers=headers)

    def post(self, path: str, **fields: object) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token, **fields})

    def open(self) -> str:
        payment_id = f"bench-{secrets.token_hex(8)}"
        self.opened(payment_id)
        return payment_id

    def opened(self, payment_id: str) -> TestResponse:
        fields = {"user_wallet": "994501234567", "callback_url": "http://127.0.0.1:9/hook", "create_time": "1"}
        return self.call("POST", "get_wallet", "payment", payment_id=payment_id, sum="700", **fields)

    def page(self, path: str, **filters: str) -> Callable[[], Deed]:
        return lambda: lambda: self.client.get(path, query_string=filters)

    def deeds(self) -> dict[str, Callable[[], Deed]]:
        """By name, what makes each ready; that is not measured."""
        old = self.old
        deep = f"{int((old.opened_at - EPOCH).total_seconds() * 1e6)}.{old.id}"
        month = {"start_date": "2026-10-01", "end_date": "2026-10-31"}
        ends = system_clock() - timedelta(hours=3, microseconds=7)
        odd = {"start_date": str(ends - timedelta(days=2, seconds=1234)), "end_date": str(ends)}
        return self._calls(month, odd) | {
            "queue": self.page("/payments/"),
            "queue, all": self.page("/payments/", status="all"),
            "queue, one merchant": self.page("/payments/", status="all", merchant="seed-1"),
            "accepted, from the middle": self.page("/payments/", status="accept", before=deep),
            "search, payment id": self.page("/payments/", q=old.payment_id),
            "search, payment id begins": self.page("/payments/", q="1000"),
            "search, payer's wallet": self.page("/payments/", q=old.user_wallet),
            "search, payer's other spelling": self.page("/payments/", q="+994 55"),
            "search, our wallet": self.page("/payments/", q=self.wallet or ""),
            "search, reference": self.page("/payments/", q=self.reference or ""),
            "search, sum": self.page("/payments/", q="50,00"),
            "one payment": self.page(f"/payments/{old.id}"),
            "webhooks": self.page("/webhooks/"),
            "endpoints": self.page("/endpoints/"),
            "/metrics": lambda: lambda: self.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}),
            "/health/ready": self.page("/health/ready"),
        }

    def _calls(self, month: dict[str, str], odd: dict[str, str]) -> dict[str, Callable[[], Deed]]:
        old = self.old.payment_id
        return {
            "get_status": lambda: lambda: self.call("GET", "get_status", "payment", payment_id=old),
            "get_wallet": lambda: lambda: self.opened(f"bench-{secrets.token_hex(8)}"),
            "update_status": self._updated,
            "a decision": self._decided,
            "get_balance, all time": lambda: lambda: self.call("GET", "get_balance", "balance"),
            "get_balance, a month": lambda: lambda: self.call("GET", "get_balance", "balance", **month),
            "get_balance, odd cuts": lambda: lambda: self.call("GET", "get_balance", "balance", **odd),
            "get_events": lambda: lambda: self.call("GET", "get_events", "balance", limit=100),
            "get_wallet, an old id": lambda: lambda: self.opened(old),
        }

    def _updated(self) -> Deed:
        payment_id = self.open()
        return lambda: self.call("POST", "update_status", "payment", payment_id=payment_id, status="cancel")

    def _decided(self) -> Deed:
        payment_id = self.open()
        with self.app.app_context(), reading() as session:
            pk = session.scalars(select(Payment.id).filter_by(payment_id=payment_id)).one()
        return lambda: self.post(f"/payments/{pk}/accept", version=1)

    def _token(self) -> str:
        page = self.client.get("/login", follow_redirects=True).text
        return re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
