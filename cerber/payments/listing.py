"""The statement behind a list of payments: a union of short reads, each along one index.

Without words to look for there is a read for each status, in the order of time. What was typed is looked up in every
way that it may be meant. How a payment id or a payer's wallet begins may fit half of the table, in the order of the
ids and not of time: of such hits the first HITS are taken, and the newest of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Label, Select, Subquery, literal, null, select, union_all

from cerber import money
from cerber.db.hints import by_index
from cerber.db.paging import Listing
from cerber.payments import payers
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import Status

HITS = 1000
_LAST_CHARACTER = "\U0010ffff"
_PLACE: tuple[ColumnElement[datetime], ColumnElement[int]] = (Payment.opened_at, Payment.id)  # type: ignore[assignment]
_FILTERED = (Payment.id, Payment.opened_at, Payment.status, Payment.merchant_id)


class Found(StrEnum):
    """What a row of the union says."""

    FITS = "fits"
    EXACT = "exact"  # the payment has just this id
    MORE = "more"  # no payment: there are more than HITS hits


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed down to. `merchant` is a key, `wallet` that of the wallet of ours whose number `q` is.

    The period is that of the opening, both ends included. No statuses: any.
    """

    statuses: Sequence[Status]
    merchant: int | None
    since: datetime | None
    until: datetime | None
    q: str
    wallet: int | None


def statement(wanted: Wanted, listing: Listing) -> CompoundSelect[Any]:
    """Rows of what it is, the id and opened_at. They may name a payment twice."""
    parts = _looked_up(wanted, listing) if wanted.q else _by_status(wanted, listing, "", ())
    return union_all(*parts)


def _looked_up(wanted: Wanted, listing: Listing) -> Iterator[Select[Any]]:
    q = wanted.q
    amount = money.read_typed(q)
    if wanted.wallet is not None:
        yield from _by_status(wanted, listing, "wallet_id", [Payment.wallet_id == wanted.wallet])
    if amount is not None:
        yield from _by_status(wanted, listing, "sum", [Payment.sum == amount])
    yield from _by_id(wanted, listing)
    yield from _by_beginning(wanted, listing, Payment.user_wallet, "ix_payments_user_wallet", q)
    for digits in payers.prefixes(q):
        yield from _by_beginning(
            wanted, listing, Payment.user_wallet_digits, "ix_payments_user_wallet_digits", digits
        )
    referred = select(Transfer.payment_id.label("id")).where(Transfer.reference == q).limit(HITS).subquery()
    yield _newest(wanted, listing, select(*_FILTERED).join(referred, referred.c.id == Payment.id).subquery())


def _by_status(wanted: Wanted, listing: Listing, column: str, where: Sequence[Any]) -> Iterator[Select[Any]]:
    """A read for each status along an index that is in the order of time behind it."""
    index = "_".join(filter(None, ("ix_payments", column, "status_opened_at")))
    if column:
        index += "_id_merchant_id"
    elif wanted.merchant is not None:
        index = "ix_payments_merchant_id_status_opened_at"
    for status in wanted.statuses or Status:
        found = by_index(select(*_PLACE), Payment, index)
        found = found.where(*where, Payment.status == status, *_of_merchant(wanted), *_within(wanted, Payment))
        few = listing.part(found, *_PLACE).subquery()
        yield select(_says(Found.FITS), few.c.id, few.c.opened_at)


def _by_id(wanted: Wanted, listing: Listing) -> Iterator[Select[Any]]:
    index = "uq_payments_payment_id_merchant_id" if wanted.merchant is None else "ix_payments_merchant_id_payment_id"
    of = _of_merchant(wanted)
    yield from _by_beginning(wanted, listing, Payment.payment_id, index, wanted.q, of)
    if listing.start.is_first:
        same = select(*_FILTERED).where(Payment.payment_id == wanted.q, *of)
        yield _newest(wanted, listing, same.limit(HITS).subquery(), Found.EXACT)


def _by_beginning(
    wanted: Wanted, listing: Listing, column: Any, index: str, beginning: str, of: Sequence[Any] = ()
) -> Iterator[Select[Any]]:
    """A range and no LIKE: it uses the index, heeds the case on every database, and knows no wildcards."""
    begins = (column.between(beginning, beginning + _LAST_CHARACTER), *of)
    hits = by_index(select(*_FILTERED), Payment, index).where(*begins).order_by(column).limit(HITS)
    yield _newest(wanted, listing, hits.subquery())
    beyond = by_index(select(Payment.id), Payment, index).where(*begins).order_by(column).offset(HITS).limit(1)
    yield select(_says(Found.MORE), beyond.subquery().c.id, null())


def _newest(wanted: Wanted, listing: Listing, hits: Subquery, found: Found = Found.FITS) -> Select[Any]:
    """Those of the hits that fit, and may be on the page."""
    columns = hits.c
    fitting = select(columns.id, columns.opened_at).where(*_within(wanted, columns))
    if wanted.statuses:
        fitting = fitting.where(columns.status.in_(wanted.statuses))
    if wanted.merchant is not None:
        fitting = fitting.where(columns.merchant_id == wanted.merchant)
    few = listing.part(fitting, columns.opened_at, columns.id).subquery()
    return select(_says(found), few.c.id, few.c.opened_at)


def _says(found: Found) -> Label[str]:
    return literal(found.value).label("what")


def _of_merchant(wanted: Wanted) -> list[Any]:
    return [] if wanted.merchant is None else [Payment.merchant_id == wanted.merchant]


def _within(wanted: Wanted, columns: Any) -> list[Any]:
    within = [columns.opened_at >= wanted.since] if wanted.since else []
    return within + ([columns.opened_at <= wanted.until] if wanted.until else [])
