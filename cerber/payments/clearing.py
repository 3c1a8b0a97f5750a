"""Cancelling all open payments of a merchant for which no money has come, so that others get their room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from cerber.context import now
from cerber.db.transactions import reading
from cerber.errors import NotFound, NotPossible, VersionChanged
from cerber.merchants.models import Merchant
from cerber.payments import decisions
from cerber.payments.models import Payment
from cerber.payments.states import OPEN

BATCH = 100  # payments that are looked up at once; each is cancelled in a transaction of its own


def cancel_open(merch_id: str, actor: str) -> tuple[int, int]:
    """Cancels each as an operator would, with its webhook. How many, and how many are open still.

    Only those that were open when it began. Stopped halfway, it may be called again. Raises NotFound.
    """
    merchant, began = _merchant(merch_id), now()
    cancelled, last = 0, 0
    while rows := _without_money(merchant, began, last):
        cancelled += sum(_cancel(row, actor) for row in rows)
        last = rows[-1].id
    return cancelled, _open(merchant)


def _cancel(row: Any, actor: str) -> bool:
    """Whether it was cancelled here. If somebody else was faster, what they decided stands."""
    try:
        decisions.cancel(row.id, row.version, actor)
    except (VersionChanged, NotPossible):
        return False
    return True


def _merchant(merch_id: str) -> int:
    with reading() as session:
        found = session.scalar(select(Merchant.id).filter_by(merch_id=merch_id))
    if found is None:
        raise NotFound(f"There is no merchant {merch_id}.")
    return found


def _without_money(merchant: int, began: datetime, last: int) -> Sequence[Any]:
    rows = select(Payment.id, Payment.version).where(
        Payment.merchant_id == merchant,
        Payment.status.in_(OPEN),
        Payment.received == 0,
        Payment.opened_at <= began,
        Payment.id > last,
    )
    with reading() as session:
        return session.execute(rows.order_by(Payment.id).limit(BATCH)).all()


def _open(merchant: int) -> int:
    with reading() as session:
        mine = (Payment.merchant_id == merchant, Payment.status.in_(OPEN))
        return session.scalar(select(func.count()).select_from(Payment).where(*mine)) or 0
