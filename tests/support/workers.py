"""Delivery workers as real processes, events for them, and what the database says of both."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import func, insert, select

from cerber.config import ROOT
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.payments import decisions
from cerber.webhooks import outbox
from cerber.webhooks.models import Breaker, Endpoint, Webhook, WebhookAttempt
from tests.support.clock import now
from tests.support.factories import MerchantKeys

T = TypeVar("T")
STOPS_WITHIN = 20  # seconds, that a worker may take to end


@contextmanager
def worker(env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`flask deliver`; killed at the end if it still runs."""
    with _running(env, "-m", "flask", "deliver", *arguments) as process:
        yield process


@contextmanager
def changed_worker(env: dict[str, str], changes: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A worker whose process first runs `changes`, which may put other things in the place of its modules' own, and
    another `clock` in the place of the system's."""
    once = "loop.run_once(app, expire_due, None)"
    code = f"""
from cerber.app import create_app
from cerber.context import system_clock as clock
from cerber.payments.expiry import expire_due
from cerber.webhooks.worker import loop
{changes}
app = create_app(clock=clock)
{once} if "--once" in __import__("sys").argv else loop.run(app, expire_due)
"""
    with _running(env, "-c", code, *arguments) as process:
        yield process


@contextmanager
def _running(env: dict[str, str], *command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
    """Ends a worker in good order."""
    process.send_signal(number)
    assert process.wait(STOPS_WITHIN) == 0


def until(condition: Callable[[], T], seconds: float = 20, *, every: float = 0.05) -> T:
    """Waits for the condition, and gives what it gave."""
    ends = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came true"
        pause.wait(every)
    return found


def decide(app: Flask, key: int, *amounts: int) -> None:
    """Records transfers, in qəpik, one after the other."""
    with app.app_context():
        for version, amount in enumerate(amounts, start=1):
            decisions.record_transfer(key, version, "operator:a", amount, f"M10-{key}-{version}")


def put(app: Flask, keys: MerchantKeys, url: str, name: str) -> None:
    """One event about no payment, through the product's own door. `name` comes back by `named`."""
    with app.app_context():
        outbox.enqueue_balance(_merchant(keys), url, json.dumps({"name": name}), secrets.token_hex(16))


def fill(app: Flask, keys: MerchantKeys, url: str, count: int) -> None:
    """So many events about no payment, at once: `0`, `1` and so on; from a thousand on they are copies."""
    with app.app_context():
        at, merchant = now(), _merchant(keys)
        prefix, endpoint = f"evt_{secrets.token_hex(8)}_", _endpoint(merchant, url)
        common = {"merchant_id": merchant, "endpoint_id": endpoint, "kind": "balance", "url": url, "state": "due"}
        times = {"due_at": at, "scheduled_at": at, "queued_at": at, "created_at": at}
        rows = [
            {"event_id": f"{prefix}{number}", "body": f'{{"name": "{number}"}}', **common, **times}
            for number in range(min(count, 1000))
        ]
        table: Any = Webhook.__table__
        db.session.connection().execute(insert(table), rows)
        others = [column for column in table.c if column.name not in ("id", "event_id")]
        names = ["event_id", *(column.name for column in others)]
        made = select(func.min(table.c.id), func.max(table.c.id)).where(table.c.event_id.startswith(prefix))
        first, last = db.session.execute(made).one()
        for copy in range(1, count // 1000):
            copied = select(table.c.event_id + f"-{copy}", *others).where(table.c.id.between(first, last))
            db.session.execute(insert(table).from_select(names, copied))
        db.session.commit()


def named(body: bytes) -> str:
    return str(json.loads(body)["name"])


def states(app: Flask) -> list[str]:
    return [webhook.state for webhook in webhooks(app)]


def webhooks(app: Flask) -> list[Webhook]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(Webhook).order_by(Webhook.id)))


def attempts(app: Flask) -> list[WebhookAttempt]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(WebhookAttempt).order_by(WebhookAttempt.id)))


def breaker(app: Flask) -> Breaker | None:
    """The only one there is, if there is one."""
    with app.app_context(), reading() as session:
        return session.scalars(select(Breaker)).one_or_none()


def change(app: Flask, statement: Any) -> None:
    with app.app_context():
        db.session.execute(statement)
        db.session.commit()


def end_leases(app: Flask) -> None:
    """Lets the time of a dead worker's leases pass."""
    with app.app_context():
        for row in db.session.scalars(select(Webhook).where(Webhook.lease.is_not(None))):
            row.due_at = now() - timedelta(seconds=1)
        db.session.commit()


def _merchant(keys: MerchantKeys) -> int:
    return db.session.scalars(select(Merchant.id).filter_by(merch_id=keys.merch_id)).one()


def _endpoint(merchant: int, url: str) -> int:
    origin = url.rsplit("/", 1)[0]
    found = db.session.scalar(select(Endpoint.id).filter_by(merchant_id=merchant, origin=origin))
    if found is not None:
        return found
    endpoint = Endpoint(merchant_id=merchant, origin=origin, created_at=now())
    db.session.add(endpoint)
    db.session.flush()
    return endpoint.id
