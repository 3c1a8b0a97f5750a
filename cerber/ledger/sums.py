"""What lies on a merchant's accounts by the ledger: statements for the one that makes a balance of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from cerber.ledger.accounts import Accounts
from cerber.ledger.models import LedgerEntry, LedgerSum

Bind = ColumnElement[Any] | datetime | int


def folded(merchant_pk: Bind, width: Bind, start: Bind, end: Bind) -> Select[*tuple[Any, ...]]:
    """The sums of periods of one width; `end` is not part of it."""
    within = (LedgerSum.width == width, LedgerSum.start >= start, LedgerSum.start < end)
    return select(*shown(**accounts_of(LedgerSum))).where(LedgerSum.merchant_id == merchant_pk, *within)


def unfolded(merchant_pk: Bind, start: Bind, end: Bind) -> Select[*tuple[Any, ...]]:
    """The entries of whole hours that are not in the sums yet."""
    within = (LedgerEntry.hour >= start, LedgerEntry.hour < end)
    chosen = (LedgerEntry.unfolded_merchant_id == merchant_pk, *within)
    return select(*shown(**accounts_of(LedgerEntry))).where(*chosen)


def accounts_of(table: type[LedgerEntry | LedgerSum]) -> dict[str, ColumnElement[int]]:
    """Its columns by the accounts' names."""
    return {name: getattr(table, name) for name in Accounts._fields}


def shown(
    *,
    expected: ColumnElement[int],
    received: ColumnElement[int],
    written_off: ColumnElement[int],
    cancelled: ColumnElement[int],
    **_: ColumnElement[int],
) -> tuple[ColumnElement[int], ...]:
    """The cancelled, the confirmed and the pending sum, as contract section 4 has them."""
    return func.sum(cancelled + written_off), func.sum(received), func.sum(expected)
