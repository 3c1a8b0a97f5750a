"""What lies on a merchant's accounts by the ledger: statements for the one that makes a balance of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from cerber.ledger.models import LedgerEntry, LedgerSum

Bind = ColumnElement[Any] | datetime | int


def folded(merchant_pk: Bind, width: Bind, start: Bind, end: Bind) -> Select[*tuple[Any, ...]]:
    """The sums of periods of one width; `end` is not part of it."""
    within = (LedgerSum.width == width, LedgerSum.start >= start, LedgerSum.start < end)
    return select(*_shown(LedgerSum)).where(LedgerSum.merchant_id == merchant_pk, *within)


def unfolded(merchant_pk: Bind, start: Bind, end: Bind) -> Select[*tuple[Any, ...]]:
    """The entries of whole hours that are not in the sums yet."""
    within = (LedgerEntry.hour >= start, LedgerEntry.hour < end)
    return select(*_shown(LedgerEntry)).where(LedgerEntry.unfolded_merchant_id == merchant_pk, *within)


def _shown(table: type[LedgerEntry | LedgerSum]) -> tuple[ColumnElement[int], ...]:
    """Cancelled, confirmed and pending, as contract section 4 has them."""
    return (
        func.sum(table.cancelled + table.written_off),
        func.sum(table.received),
        func.sum(table.expected),
    )
