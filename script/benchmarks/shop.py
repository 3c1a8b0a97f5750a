"""A merchant with wallets on the place's database, its signed requests, and its due webhooks."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import delete, func, insert, select, text

from benchmarks import load, places
from benchmarks.places import Place
from benchmarks.pool import BODY
from cerber import signing
from cerber.app import create_app
from cerber.context import now
from cerber.db.engines import db
from cerber.merchants import accounts
from cerber.merchants.models import Merchant
from cerber.payments.models import Payment
from cerber.wallets import registry
from cerber.webhooks import outbox
from cerber.webhooks.kinds import Kind
from cerber.webhooks.models import Breaker, Endpoint, Webhook, WebhookAttempt

WALLETS = 20


@contextmanager
def app_on(at: Place) -> Iterator[Flask]:
    app = create_app(at.env)
    with app.app_context():
        yield app
        db.session.rollback()
        for engine in db.engines.values():
            engine.dispose()


class Shop:
    """A merchant with wallets on the place's database, and requests that it signed."""

    def __init__(self, at: Place, merch_id: str = "") -> None:
        self._at = at
        self._merch_id = merch_id or f"shop-{secrets.token_hex(4)}"
        self._secret = signing.new_secret()
        with app_on(at):
            accounts.add(self._merch_id, "", self._secret, signing.new_secret(), "benchmark")
            if not registry.list_all():
                for n in range(WALLETS):
                    registry.add(f"99450{n:07}", f"https://m10.example/{n}", "", None, "benchmark")

    def signed(self, method: str, call: str, fields: dict[str, Any]) -> bytes:
        body = json.dumps(fields).encode()
        return load.request(method, f"/bot_api/{call}/", body, {"Signature": signing.sign(self._secret, body)})

    def opening(self, key: str, n: int, url: str = "http://127.0.0.1:9/hook") -> bytes:
        fields = {
            "payment_id": key,
            "user_wallet": "994501234567",
            "sum": f"{n % 700 + 1}",
            "status": "pending",
            "callback_url": url,
            "merch_id": self._merch_id,
            "create_time": "2026-11-24T10:00:00+04:00",
        }
        return self.signed("POST", "get_wallet", fields)

    def pay(self, keys: list[str]) -> None:
        """Accepted payments with these ids: nothing of them is open. Inside an app context."""
        merchant = db.session.scalars(select(Merchant.id).filter_by(merch_id=self._merch_id)).one()
        at = now()
        values = {
            "merchant_id": merchant,
            "wallet_id": 1,
            "user_wallet": "994501234567",
            "sum": 50_000,
            "received": 50_000,
            "status": "accept",
            "version": 1,
            "callback_url": "http://127.0.0.1:9/hook",
            "create_time": at,
            "create_time_text": "2026-11-24T10:00:00+04:00",
            "create_time_read": True,
            "opened_at": at,
            "closed_at": at,
            "holds_sum_until": at,
        }
        db.session.execute(insert(Payment), [values | {"payment_id": key} for key in keys])
        db.session.commit()

    def fill(self, url: str, count: int, state: str = "due") -> None:
        """So many payments with a webhook each."""
        with app_on(self._at):
            first = (db.session.scalar(select(func.max(Payment.id))) or 0) + 1
            self.pay([secrets.token_hex(8) for _ in range(count)])
            at = now()
            merchant, endpoint = self._endpoint(url)
            common = {
                "merchant_id": merchant,
                "endpoint_id": endpoint,
                "kind": "accept",
                "url": url,
                "body": BODY.decode(),
                "state": state,
                "due_at": at - timedelta(seconds=1),
                "scheduled_at": at,
                "queued_at": at,
                "attempts": 0,
                "by_hand": False,
                "created_at": at,
                "closed_at": None if state == "due" else at,
            }
            payments = db.session.scalars(select(Payment.id).where(Payment.id >= first)).all()
            values = [
                common | {"payment_id": payment, "event_id": f"evt_{secrets.token_hex(13)}"} for payment in payments
            ]
            db.session.execute(insert(Webhook), values)
            db.session.commit()

    def deliver_long_ago(self, count: int) -> None:
        """So many delivered webhooks: some are put in, and then doubled by the database."""
        self.fill("http://127.0.0.1:9/hook", 1000, state="delivered")
        copied = [c.name for c in Webhook.__table__.columns if c.name not in ("id", "event_id")]
        names = ", ".join(copied)
        with app_on(self._at):
            made = 1000
            while made < count:
                more = min(made, count - made, 100_000)
                unique = "hex(randomblob(16))" if self._at.kind == "sqlite" else "CONCAT(UUID_SHORT(), '-', id)"
                copies = f"SELECT {unique}, {names} FROM webhooks LIMIT {more}"  # names of our own  # nosec B608
                doubled = f"INSERT INTO webhooks (event_id, {names}) {copies}"
                db.session.execute(text(doubled))
                db.session.commit()
                made += more

    def commit(self, url: str, count: int, pause: Callable[[], float]) -> dict[str, float]:
        """So many events, each in a transaction of its own, with a pause from one to the next. When each was
        committed, by its webhook-id: seconds of the machine's monotonic clock."""
        committed = {}
        with app_on(self._at):
            self.pay([secrets.token_hex(8) for _ in range(count)])
            self._endpoint(url)
            newest = select(Payment).order_by(Payment.id.desc()).limit(count)
            payments = db.session.scalars(newest).all()
            db.session.expunge_all()
            db.session.rollback()
            begins = time.monotonic()
            for payment in payments:
                payment.callback_url = url
                begins += pause()
                time.sleep(max(begins - time.monotonic(), 0))
                outbox.enqueue(payment, Kind.ACCEPT, now())
                event_id = db.session.scalars(select(Webhook.event_id).order_by(Webhook.id.desc()).limit(1)).one()
                db.session.commit()
                committed[event_id] = time.monotonic()
                db.session.expunge_all()
        return committed

    def forget(self) -> None:
        """No event of it is due any more, and no endpoint is known to fail."""
        with app_on(self._at):
            for table in (WebhookAttempt, Webhook, Breaker):
                db.session.execute(delete(table))
            db.session.commit()

    def _endpoint(self, url: str) -> tuple[int, int]:
        """The keys of the merchant and of the URL's endpoint."""
        merchant = db.session.scalars(select(Merchant.id).filter_by(merch_id=self._merch_id)).one()
        origin = url.rsplit("/", 1)[0]
        endpoint = db.session.scalar(select(Endpoint.id).filter_by(merchant_id=merchant, origin=origin))
        if endpoint is None:
            made = insert(Endpoint).values(merchant_id=merchant, origin=origin, created_at=now())
            endpoint = db.session.execute(made).inserted_primary_key[0]  # type: ignore[attr-defined]
            db.session.commit()
        return merchant, endpoint

    def wait_until_recorded(self) -> None:
        with app_on(self._at):
            ends = time.monotonic() + places.PATIENCE
            due = select(func.count()).select_from(Webhook).where(Webhook.state == "due")
            while db.session.scalar(due):
                db.session.rollback()
                if time.monotonic() > ends:
                    raise TimeoutError("webhooks stay due")
                time.sleep(0.2)
