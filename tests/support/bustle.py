"""Operators who decide at random and workers who fold, all at once, until a test has seen enough."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from flask import Flask
from sqlalchemy import select

from cerber.db.transactions import reading
from cerber.errors import CerberError
from cerber.ledger import folding
from cerber.payments import decisions
from cerber.payments.models import Payment

OPERATOR = "operator:a"


def decide(app: Flask, pks: Sequence[int], seed: int, allowed: tuple[type[CerberError], ...]) -> None:
    """Does something to each payment, one after the other. What is not possible then may be refused as `allowed`."""
    rng = random.Random(seed)
    for pk in pks:
        deed = rng.choice([_transfer, _accept, decisions.cancel, decisions.settle])
        with app.app_context(), suppress(*allowed):
            with reading() as session:
                version = session.scalars(select(Payment.version).filter_by(id=pk)).one()
            deed(pk, version, OPERATOR)


def fold_until(app: Flask, over: threading.Event) -> None:
    while not over.is_set():
        with app.app_context():
            folding.fold_all()


def all_at_once(
    deciding: Sequence[Callable[[], None]], others: Sequence[Callable[[], Any]], over: threading.Event
) -> list[Any]:
    """Runs all of them; `over` is set as soon as all is decided. What the others gave."""
    with ThreadPoolExecutor(len(deciding) + len(others)) as pool:
        running: list[Future[Any]] = [pool.submit(deed) for deed in others]
        try:
            for one in [pool.submit(deed) for deed in deciding]:
                one.result(60)
        finally:
            over.set()
        return [other.result(60) for other in running]


def _accept(pk: int, version: int, actor: str) -> None:
    decisions.accept(pk, version, actor, f"{pk}-{version}")


def _transfer(pk: int, version: int, actor: str) -> None:
    decisions.record_transfer(pk, version, actor, 2_00, f"{pk}-{version}")
