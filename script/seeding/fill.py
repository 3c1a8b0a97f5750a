"""Fills a database: one process makes up the history while another writes it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from random import Random
from typing import Any

from cerber.context import settings
from cerber.db import schema
from cerber.errors import Unavailable
from cerber.payments.models import Payment
from cerber.webhooks.models import Webhook
from seeding import shop
from seeding.bulk import bulk
from seeding.history import COLUMNS, Counters, History, Plan, Rows, Sums

SAID_EVERY = 5.0  # seconds
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. The same `seed` makes the same history, from `begins` to `until`."""

    payments: int
    merchants: int
    wallets: int
    begins: datetime
    until: datetime
    seed: int = 1
    secrets: tuple[str, str] | None = None


def fill(wish: Wish, show: Callable[[Any], None], say: Callable[[str], None]) -> None:
    """Makes merchants, wallets and their history, inside an app context. `show` gets the secrets, `say` the progress.

    Raises Unavailable where the schema is not current, AlreadyExists where a history was seeded before.
    """
    if not schema.is_current():
        raise Unavailable("The database's schema is not current: run `flask db upgrade`.")
    shop.refuse_double()
    for secrets in shop.add_merchants(wish.merchants, wish.secrets):
        show(secrets)
    shop.add_wallets(wish.wallets)
    sellers, wallets = shop.settle_in(wish.begins)
    ttl = timedelta(seconds=settings().payment_ttl) or None
    keys = shop.next_keys((Payment, Webhook))
    plan = Plan(wish.payments, sellers, wallets, wish.begins, wish.until, ttl, settings().timezone, *keys)
    shop.close_books(*_written(plan, wish.seed, say), plan)


def _written(plan: Plan, seed: int, say: Callable[[str], None]) -> tuple[dict[int, Counters], Sums]:
    """Writes the history. What the wallets' counters and the ledger's sums are after it."""
    began = said = time.monotonic()
    done = 0
    with _maker(plan, seed) as made, bulk() as tables:
        while "payments" in (batch := _received(made)):
            tables.add(batch, COLUMNS)
            done += len(batch["payments"])
            if time.monotonic() >= said + SAID_EVERY or done == plan.payments:
                said = time.monotonic()
                rate = done / (said - began)
                left = f"{(plan.payments - done) / rate:.0f} s left"
                say(f"{done:,} of {plan.payments:,} payments, {rate:,.0f} a second, {left}")
    return batch["counters"], batch["sums"]


@contextmanager
def _maker(plan: Plan, seed: int) -> Iterator[Connection]:
    """A process that makes the history up, and where its batches come out: the last holds the counters and sums."""
    ours, theirs = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_make, args=(plan, seed, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its end is seen here
    try:
        yield ours
    finally:
        ours.close()
        process.kill()
        process.join()


def _received(made: Connection) -> dict[str, Any]:
    try:
        batch: dict[str, Any] = made.recv()
    except EOFError:
        raise Unavailable("The process that makes up the history ended before its time.") from None
    return batch


def _make(plan: Plan, seed: int, out: Connection) -> None:
    history = History(plan, Random(seed))
    batches: Iterator[Rows] = history.batches()
    for batch in batches:
        out.send(batch)
    out.send({"counters": history.counters, "sums": history.sums})
