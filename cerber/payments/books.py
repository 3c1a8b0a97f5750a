"""Do the books agree: payments with their transfers and with the ledger's entries, and these with their sums?

Each check looks at a part of them in one statement, which sees one moment, so others may write meanwhile: a change
moves a payment and the ledger in one transaction and by the same. What is found is what the ledger lacks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, FromClause, Row, Select, func, literal, or_, select, union_all

from cerber.ledger import periods
from cerber.ledger.accounts import NOTHING, Accounts, change, total
from cerber.ledger.hours import hour_of
from cerber.ledger.models import LedgerEntry, LedgerSum
from cerber.ledger.periods import WIDTHS
from cerber.ledger.sums import accounts_of
from cerber.payments.entries import STANDING
from cerber.payments.models import Payment, Transfer
from cerber.payments.standing import standing
from cerber.payments.states import OPEN, Status
from cerber.wallets.models import Wallet

AT_ONCE = 1000  # payments


class Kind(StrEnum):
    """What can be wrong: the received sum of a payment, its entries, a sum of the ledger, a wallet's counter."""

    TRANSFERS = "transfers"
    PAYMENT = "payment"
    HOUR = "hour"
    PERIOD = "period"
    WALLET = "wallet"


class Key(NamedTuple):
    """Of a payment or a wallet its primary key; of a sum its merchant, its width in hours and its start."""

    pk: int
    width: int = 0
    start: datetime = periods.FIRST


@dataclass(frozen=True, slots=True)
class Wrong:
    """`lacks` is what is missing on each account, in qəpik; below zero is too much. Of a wallet and of a payment's
    transfers it is one sum: what the wallet expects, what the payment received."""

    kind: Kind
    key: Key
    lacks: Accounts


def payments(connection: Connection, after: int, only: int | None = None) -> tuple[list[Wrong], int | None]:
    """Checks AT_ONCE payments in the order of their keys, from the one after `after` on, or `only` one. The key that
    it reached, None at the end."""
    rows = connection.execute(_payments(after) if only is None else _payment(only)).all()
    wrong = [found for row in rows for found in _of_payment(row)]
    return wrong, rows[-1].id if len(rows) == AT_ONCE else None


def hours(connection: Connection, merchant_pk: int, start: datetime) -> tuple[list[Wrong], datetime | None]:
    """Checks the sums of a merchant's hours from `start` on, as many as hold AT_ONCE payments. Where the next begin,
    None at the end."""
    in_it = (Payment.merchant_id == merchant_pk, Payment.create_time >= start)
    last = select(Payment.create_time).where(*in_it).order_by(Payment.create_time).offset(AT_ONCE - 1).limit(1)
    reaches = connection.scalar(last)
    end = periods.end_of(reaches) if reaches else periods.LAST
    return lacking_hours(connection, merchant_pk, start, end), end if reaches else None


def lacking_hours(connection: Connection, merchant_pk: int, start: datetime, end: datetime) -> list[Wrong]:
    """The hours from `start` up to `end` whose payments stand otherwise than their sums and unfolded entries say."""
    found = connection.execute(_hours(merchant_pk, start, end))
    return [Wrong(Kind.HOUR, Key(merchant_pk, WIDTHS[0], hour), Accounts(*map(int, lacks))) for hour, *lacks in found]


def block(connection: Connection, merchant_pk: int, start: datetime) -> tuple[list[Wrong], datetime | None]:
    """Checks the sum of the merchant's first longest period from `start` on, and those within it, against its hours.
    Where the next may begin, None at the end."""
    from_there = (LedgerSum.merchant_id == merchant_pk, LedgerSum.start >= start)
    first_of_width = select(func.min(LedgerSum.start)).where(*from_there)  # one look into the index for each
    looked_up = (first_of_width.where(LedgerSum.width == width).scalar_subquery() for width in WIDTHS)
    firsts = [first for first in connection.execute(select(*looked_up)).one() if first is not None]
    if not firsts:
        return [], None
    begins = periods.floor(min(firsts), WIDTHS[-1])
    ends = periods.end_of(begins, WIDTHS[-1])
    return lacking_periods(connection, merchant_pk, begins, ends), ends


def lacking_periods(connection: Connection, merchant_pk: int, start: datetime, end: datetime) -> list[Wrong]:
    """The periods longer than an hour, from `start` up to `end`, that are not the sum of their hours."""
    within = [LedgerSum.merchant_id == merchant_pk, LedgerSum.start >= start, LedgerSum.start < end]
    within.append(LedgerSum.width.in_(WIDTHS))  # all there are, by which the index is in order
    rows = connection.execute(
        select(LedgerSum.width, LedgerSum.start, *accounts_of(LedgerSum).values()).where(*within)
    )
    lacks: dict[Key, Accounts] = defaultdict(Accounts)
    for width, begins, *lies in rows:
        if width == WIDTHS[0]:
            for longer, first in periods.periods(begins)[1:]:
                key = Key(merchant_pk, longer, first)
                lacks[key] = total(lacks[key], Accounts(*lies))
        else:
            key = Key(merchant_pk, width, begins)
            lacks[key] = change(Accounts(*lies), lacks[key])
    return [Wrong(Kind.PERIOD, key, missing) for key, missing in sorted(lacks.items()) if missing != NOTHING]


def wallets(connection: Connection, only: int | None = None) -> list[Wrong]:
    """Checks what each wallet expects, by its counter, against what its open payments lack."""
    wallet = (Payment.wallet_id + 0).label(
        "wallet"
    )  # else SQLite may read all payments in the order of their wallets
    missing = select(wallet, func.sum(Payment.sum - Payment.received).label("sum"))
    opened = missing.where(Payment.status.in_(OPEN)).group_by(wallet).subquery()
    lacks = (func.coalesce(opened.c.sum, 0) - Wallet.expected).label("lacks")
    asked = select(Wallet.id, lacks).outerjoin(opened, opened.c.wallet == Wallet.id).where(lacks != 0)
    if only is not None:
        asked = asked.where(Wallet.id == only)
    return [Wrong(Kind.WALLET, Key(pk), Accounts(expected=int(lacks))) for pk, lacks in connection.execute(asked)]


def _of_payment(row: Row[Any]) -> Iterable[Wrong]:
    if row.transferred != row.received:
        yield Wrong(Kind.TRANSFERS, Key(row.id), Accounts(received=int(row.transferred) - row.received))
    lacks = change(Accounts(*map(int, row[5:])), standing(Status(row.status), row.sum, row.received))
    if lacks != NOTHING:
        yield Wrong(Kind.PAYMENT, Key(row.id), lacks)


def _payments(after: int) -> Select[*tuple[Any, ...]]:
    chosen = select(Payment.id).where(Payment.id > after).order_by(Payment.id).limit(AT_ONCE).subquery()
    return _with_entries(chosen)


def _payment(pk: int) -> Select[*tuple[Any, ...]]:
    return _with_entries(select(Payment.id).where(Payment.id == pk).subquery())


def _with_entries(chosen: FromClause) -> Select[*tuple[Any, ...]]:
    """The payments with what their live transfers and what their entries add up to."""
    live = (Transfer.payment_id == Payment.id, Transfer.voided_at.is_(None))
    transferred = select(func.coalesce(func.sum(Transfer.sum), 0)).where(*live).correlate(Payment).scalar_subquery()
    entered = (func.coalesce(func.sum(column), 0) for column in accounts_of(LedgerEntry).values())
    return (
        select(Payment.id, Payment.status, Payment.sum, Payment.received, transferred.label("transferred"), *entered)
        .join(chosen, chosen.c.id == Payment.id)
        .outerjoin(LedgerEntry, LedgerEntry.payment_id == Payment.id)
        .group_by(Payment.id, Payment.status, Payment.sum, Payment.received)
        .order_by(Payment.id)
    )


def _hours(merchant_pk: int, start: datetime, end: datetime) -> Select[*tuple[Any, ...]]:
    """What each hour lacks: where its payments stand, less its sum, less the entries that are not in it yet."""
    hour, in_sums, in_entries = hour_of(Payment.create_time), accounts_of(LedgerSum), accounts_of(LedgerEntry)
    summed = (LedgerSum.merchant_id == merchant_pk, LedgerSum.width == WIDTHS[0])
    parts = union_all(
        select(hour.label("hour"), *(func.sum(part).label(name) for name, part in STANDING.items()))
        .where(Payment.merchant_id == merchant_pk, Payment.create_time >= start, Payment.create_time < end)
        .group_by(hour),
        select(LedgerSum.start, *(-part for part in in_sums.values())).where(
            *summed, LedgerSum.start >= start, LedgerSum.start < end
        ),
        select(LedgerEntry.hour, *(-func.sum(part) for part in in_entries.values()))
        .where(LedgerEntry.unfolded_merchant_id == merchant_pk, LedgerEntry.hour >= start, LedgerEntry.hour < end)
        .group_by(LedgerEntry.hour),
    ).subquery()
    lacks = [func.sum(parts.c[name]) for name in Accounts._fields]
    return select(parts.c.hour, *lacks).group_by(parts.c.hour).having(or_(*(part != literal(0) for part in lacks)))
