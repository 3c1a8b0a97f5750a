"""What is measured, a function for each row. Rates alternate with what they are compared to, the median counts."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select

from benchmarks import bare, load, places
from benchmarks.places import Place
from benchmarks.pool import BODY
from benchmarks.receiver import Receiver, receiver
from cerber import signing
from cerber.app import create_app
from cerber.context import now
from cerber.database import db
from cerber.models import Endpoint, Merchant, Payment, Webhook
from cerber.services import merchants, wallets

THREADS = 16
DAY = 86_400
FLAT = 1.0  # MB: allocators breathe; a leak of 200 bytes a request would show
WALLETS = 20


@dataclass(frozen=True)
class Size:
    """How much is done. `rounds` are alternations of a rate with what it is compared to."""

    rounds: int
    requests: int
    webhooks: int
    half: int
    idle: float


FULL = Size(rounds=3, requests=2_000, webhooks=5_000, half=5_000, idle=60)
QUICK = Size(rounds=3, requests=500, webhooks=1_000, half=1_000, idle=15)


@dataclass(frozen=True)
class Result:
    """One line of the table. `least` or `most` is the target."""

    name: str
    database: str
    value: float
    unit: str
    detail: str
    least: float | None = None
    most: float | None = None
    grew: float = 0.0

    @property
    def reached(self) -> bool:
        return (
            self.grew < FLAT
            and (self.least is None or self.value >= self.least)
            and (self.most is None or self.value <= self.most)
        )


def get_status(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    keys = [f"{n}" for n in range(1000)]
    with _app(at):
        shop.pay(keys)
    _bare_rows(at, keys)
    turn = [keys[n % len(keys)] for n in range(size.requests)]
    ours = [shop.signed("GET", "get_status", {"payment_id": key}) for key in turn]
    theirs = [load.request("GET", "/row", json.dumps({"key": key}).encode(), {}) for key in turn]
    return [_compared("get_status", at, size, lambda: ours, lambda: theirs, 0.8)]


def get_wallet(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    _bare_rows(at, [])

    def theirs() -> list[bytes]:
        bodies = [{"key": secrets.token_hex(8), "sum": n} for n in range(size.requests)]
        return [load.request("POST", "/row", json.dumps(body).encode(), {}) for body in bodies]

    def ours() -> list[bytes]:
        return [shop.opening(secrets.token_hex(8), n) for n in range(size.requests)]

    return [_compared("get_wallet", at, size, ours, theirs, 0.5 if at.kind == "sqlite" else 0.4)]


def delivery(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    with receiver() as target:
        ours, theirs = [], []
        for _ in range(size.rounds // 2 + 1):
            theirs.append(_pool_rate(at, target, size.webhooks))
            shop.fill(target.url, size.webhooks)
            with places.worker(at):
                ours.append(target.wait(size.webhooks).rate)
                shop.wait_until_recorded()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    detail = f"{statistics.median(ours):.0f}/s against {statistics.median(theirs):.0f}/s of the pool"
    return [Result("delivery", at.kind, ratio, "of the pool", detail, least=0.8)]


def memory(at: Place, size: Size) -> list[Result]:
    return [*_web_memory(at, size), *_worker_memory(at, size)]


def idle(at: Place, size: Size) -> list[Result]:
    with places.worker(at) as pid:
        time.sleep(8)
        started, before = time.monotonic(), places.cpu_seconds(pid)
        time.sleep(size.idle)
        used, seconds = places.cpu_seconds(pid) - before, time.monotonic() - started
    most = 80 if at.kind == "sqlite" else 110
    return [
        Result("idle", at.kind, used / seconds * DAY, "CPU s a day", f"{used:.3f} s in {seconds:.0f} s", most=most)
    ]


ROWS: dict[str, Callable[[Place, Size], list[Result]]] = {
    "get_status": get_status,
    "get_wallet": get_wallet,
    "delivery": delivery,
    "memory": memory,
    "idle": idle,
}


class Shop:
    """A merchant with wallets on the place's database, and requests that it signed."""

    def __init__(self, at: Place) -> None:
        self._at = at
        self._merch_id = f"shop-{secrets.token_hex(4)}"
        self._secret = signing.new_secret()
        with _app(at):
            merchants.add(self._merch_id, "", self._secret, signing.new_secret())
            if not wallets.list_all():
                for n in range(WALLETS):
                    wallets.add(f"99450{n:07}", f"https://m10.example/{n}", "", None)

    def signed(self, method: str, call: str, fields: dict[str, Any]) -> bytes:
        body = json.dumps(fields).encode()
        return load.request(method, f"/bot_api/{call}/", body, {"Signature": signing.sign(self._secret, body)})

    def opening(self, key: str, n: int) -> bytes:
        fields = {
            "payment_id": key,
            "user_wallet": "994501234567",
            "sum": f"{n % 700 + 1}",
            "status": "pending",
            "callback_url": "http://127.0.0.1:9/hook",
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

    def fill(self, url: str, count: int) -> None:
        """So many payments with a due webhook each."""
        with _app(self._at):
            first = (db.session.scalar(select(func.max(Payment.id))) or 0) + 1
            self.pay([secrets.token_hex(8) for _ in range(count)])
            merchant = db.session.scalars(select(Merchant.id).filter_by(merch_id=self._merch_id)).one()
            origin = url.rsplit("/", 1)[0]
            endpoint = db.session.scalar(select(Endpoint.id).filter_by(merchant_id=merchant, origin=origin))
            at = now()
            if endpoint is None:
                made = insert(Endpoint).values(merchant_id=merchant, origin=origin, created_at=at)
                endpoint = db.session.execute(made).inserted_primary_key[0]  # type: ignore[attr-defined]
            common = {
                "merchant_id": merchant,
                "endpoint_id": endpoint,
                "kind": "accept",
                "url": url,
                "body": BODY.decode(),
                "state": "due",
                "due_at": at - timedelta(seconds=1),
                "scheduled_at": at,
                "queued_at": at,
                "attempts": 0,
                "by_hand": False,
                "created_at": at,
            }
            payments = db.session.scalars(select(Payment.id).where(Payment.id >= first)).all()
            values = [
                common | {"payment_id": payment, "event_id": f"evt_{secrets.token_hex(13)}"} for payment in payments
            ]
            db.session.execute(insert(Webhook), values)
            db.session.commit()

    def wait_until_recorded(self) -> None:
        with _app(self._at):
            ends = time.monotonic() + places.PATIENCE
            due = select(func.count()).select_from(Webhook).where(Webhook.state == "due")
            while db.session.scalar(due):
                db.session.rollback()
                if time.monotonic() > ends:
                    raise TimeoutError("webhooks stay due")
                time.sleep(0.2)


@contextmanager
def _app(at: Place) -> Iterator[None]:
    with create_app(at.env).app_context():
        yield
        db.session.rollback()
        for engine in db.engines.values():
            engine.dispose()


def _bare_rows(at: Place, keys: list[str]) -> None:
    with _app(at):
        bare.Base.metadata.create_all(db.engine)
        if keys:
            values = [{"key": key, "status": "accept", "sum": 50_000, "made_at": now()} for key in keys]
            db.session.execute(insert(bare.Row.__table__), [{"row_key": v.pop("key"), **v} for v in values])
            db.session.commit()


def _compared(
    name: str,
    at: Place,
    size: Size,
    ours: Callable[[], list[bytes]],
    theirs: Callable[[], list[bytes]],
    least: float,
) -> Result:
    """Both run all the time, and are asked in turns."""
    with places.gunicorn(at, "wsgi:app") as (our_port, _), places.gunicorn(at, "benchmarks.bare:make()") as (port, _):
        load.rate(port, theirs()[:200])
        load.rate(our_port, ours()[:200])
        rates = [(load.rate(our_port, ours()), load.rate(port, theirs())) for _ in range(size.rounds)]
    ratio = statistics.median(a / b for a, b in rates)
    our_rate, their_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    spread = f"{min(a / b for a, b in rates):.2f} to {max(a / b for a, b in rates):.2f}"
    detail = f"{our_rate:.0f}/s against {their_rate:.0f}/s; rounds {spread}"
    return Result(name, at.kind, ratio, "of the bare app", detail, least=least)


def _pool_rate(at: Place, target: Receiver, count: int) -> float:
    command = (places.sys.executable, "-m", "benchmarks.pool", target.url, str(count), str(THREADS))
    with places.running(at, *command) as process:
        process.wait(240)
        return target.wait(count).rate


def _web_memory(at: Place, size: Size) -> list[Result]:
    """One web worker through whole payments: opened, reported paid, asked for."""
    shop = Shop(at)

    def half() -> list[bytes]:
        requests = []
        for n in range(size.half // 4):
            key = secrets.token_hex(8)
            paid = {"payment_id": key, "status": "accept"}
            asked = {"payment_id": key}
            requests += [
                shop.opening(key, n),
                shop.signed("POST", "update_status", paid),
                *[shop.signed("GET", "get_status", asked)] * 2,
            ]
        return requests

    with places.gunicorn(at, "wsgi:app", workers=1) as (port, master):
        (pid,) = places.children(master)
        load.rate(port, half(), clients=1)
        before = places.megabytes(pid)
        load.rate(port, half(), clients=1)
        after = places.megabytes(pid)
    return _memory("memory, web worker", at, size, before, after, 80)


def _worker_memory(at: Place, size: Size) -> list[Result]:
    shop = Shop(at)
    with receiver() as target, places.worker(at) as pid:
        figures = []
        for _ in range(2):
            shop.fill(target.url, size.half)
            target.wait(size.half)
            shop.wait_until_recorded()
            figures.append(places.megabytes(pid))
    return _memory("memory, delivery worker", at, size, figures[0], figures[1], 90)


def _memory(name: str, at: Place, size: Size, before: float, after: float, most: float) -> list[Result]:
    detail = f"after {2 * size.half}; {before:.1f} MB after {size.half}: grew by {after - before:+.1f} MB"
    return [Result(name, at.kind, after, "MB", detail, most=most, grew=after - before)]
