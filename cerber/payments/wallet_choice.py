"""Which wallet a payment takes (contract section 3).

On SQLite the transaction holds the one lock, so what is chosen is taken. On MySQL many choose at once, and each takes
the best of those wallets that nobody else is changing at this moment. What it saw may be older than the lock that it
got, so the UPDATE that takes the wallet checks all of it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from cerber.context import now
from cerber.db.engines import db, skips_locked
from cerber.db.tables import UTCDateTime
from cerber.errors import NoWalletAvailable, Overtaken
from cerber.payments.models import Payment
from cerber.wallets.counters import RECEIVED_TODAY, local_day
from cerber.wallets.models import Wallet

LOOKED_AT = 50  # wallets, the best: if others hold all of these, one of them is waited for


@dataclass(frozen=True, slots=True)
class Taken:
    """A wallet that a payment took: its key, and what the payer is shown."""

    pk: int
    link: str
    image: str
    number: str
    link_version: int


def take(payment_sum: int) -> Taken:
    """Takes a wallet for a payment of so many qəpik, inside the caller's transaction, and locks it.

    Raises NoWalletAvailable, and Overtaken where another payment has made the choice wrong meanwhile.
    """
    db.session.connection()  # a transaction of SQLite begins here, with its one lock
    row = _at_once(payment_sum) or _waited_for(payment_sum)
    if row is None:
        raise NoWalletAvailable("No wallet can take this payment now. Try again later.")
    values = asked(payment_sum) | {"wallet_pk": row.id, "may_share": row.shared}
    if not db.session.connection().execute(_TAKE, values).rowcount:
        raise Overtaken("Others took the wallets faster. Nothing was changed; try again.")
    return Taken(row.id, row.link, row.image, row.number, row.link_version)


def _at_once(payment_sum: int) -> Any:
    """The best wallet that nobody holds, locked; none where a better kind of them is held by others."""
    if not skips_locked(db.engine):
        return None
    return db.session.connection().execute(_UNLOCKED, asked(payment_sum)).first()


def _waited_for(payment_sum: int) -> Any:
    """The best wallet of all; the wait for whoever holds it may go on past midnight, or past other payments' time."""
    row = db.session.connection().execute(_BEST, asked(payment_sum)).first()
    if row is not None and db.engine.dialect.name != "sqlite":
        db.session.connection().execute(_LOCK, {"wallet_pk": row.id})
    return row


def asked(payment_sum: int) -> dict[str, Any]:
    """The parameters of what is asked here of wallets, now."""
    at = now()
    return {"payment_sum": payment_sum, "at": at, "today": local_day(at)}


_SUM, _AT = bindparam("payment_sum", type_=BigInteger), bindparam("at", type_=UTCDateTime)


_DUE_INDEX = "FORCE INDEX (ix_payments_status_due_at)"
_OF_WALLET = Payment.wallet_id + 0  # no column, but an expression: an index of wallets is of no use for it


def _due(columns: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """The payments that are due, which count as cancelled. They are few: with statistics both databases would rather
    read all payments that each wallet ever had, in the order of their wallets."""
    return columns.where(Payment.due(_AT)).with_hint(Payment, _DUE_INDEX, "mysql")


def _within_limit(due: ColumnElement[int]) -> ColumnElement[bool]:
    expected = Wallet.expected - func.coalesce(due, 0)
    return or_(Wallet.daily_limit.is_(None), Wallet.daily_limit >= RECEIVED_TODAY + expected + _SUM)


# Summed up once for all wallets: with thousands due, by a worker that was away, a sum for each wallet takes three
# times as long.
_SUMS_DUE = select(_OF_WALLET.label("wallet_id"), func.sum(Payment.sum).label("sum"))
_ALL_DUE = _due(_SUMS_DUE).group_by(_OF_WALLET).subquery("due")
_OWN_DUE = _due(select(func.sum(Payment.sum)).where(Wallet.id == _OF_WALLET)).correlate(Wallet).scalar_subquery()

# The last end of all payments of this sum on the wallet: one look into the index, however many it has had. For an
# EXISTS of one that has not ended MySQL would read them all.
_SUM_HELD_UNTIL = (
    select(Payment.holds_sum_until)
    .where(Payment.wallet_id == Wallet.id, Payment.sum == _SUM)
    .order_by(Payment.holds_sum_until.desc())
    .limit(1)
    .correlate(Wallet)
    .scalar_subquery()
)
_SHARED = case((_SUM_HELD_UNTIL > _AT, 1), else_=0).label("shared")
_OPEN_WALLETS = (Wallet.paused_at.is_(None), _within_limit(_ALL_DUE.c.sum))
_SHOWN = (Wallet.id, Wallet.link, Wallet.image, Wallet.number, Wallet.link_version)


def _last_used(wallet: Any) -> tuple[Any, ...]:
    """The order of the least recently used."""
    return wallet.last_used_at.is_not(None), wallet.last_used_at, wallet.id


# Built once: building a statement costs more than SQLite takes to run it.
_BEST = (
    select(*_SHOWN, _SHARED)
    .outerjoin(_ALL_DUE, _ALL_DUE.c.wallet_id == Wallet.id)
    .where(*_OPEN_WALLETS)
    .order_by(_SHARED, *_last_used(Wallet))
    .limit(1)
)

# How many wallets can take a payment.
ABLE = (
    select(func.count())
    .select_from(Wallet)
    .outerjoin(_ALL_DUE, _ALL_DUE.c.wallet_id == Wallet.id)
    .where(*_OPEN_WALLETS)
    .scalar_subquery()
)

# The wallets are looked up in the order of the ranking, and each only until one is locked: no other is. One that is
# shared will do only where none is free of the sum, whoever holds it.
_RANKED = (
    select(Wallet.id, Wallet.last_used_at, _SHARED, func.min(_SHARED).over().label("least"))
    .outerjoin(_ALL_DUE, _ALL_DUE.c.wallet_id == Wallet.id)
    .where(*_OPEN_WALLETS)
    .order_by(_SHARED, *_last_used(Wallet))
    .limit(LOOKED_AT)
    .subquery("ranked")
)
_UNLOCKED = (
    select(*_SHOWN, _RANKED.c.shared)
    .prefix_with("STRAIGHT_JOIN", dialect="mysql")
    .select_from(_RANKED)
    .join(Wallet, Wallet.id == _RANKED.c.id)
    .where(_RANKED.c.shared == _RANKED.c.least)
    .order_by(*_last_used(_RANKED.c))
    .limit(1)
    .with_for_update(skip_locked=True)
)
_LOCK = select(Wallet.id).where(Wallet.id == bindparam("wallet_pk")).with_for_update()

_TAKE = (
    update(Wallet.__table__)  # type: ignore[arg-type]
    .where(Wallet.id == bindparam("wallet_pk"), Wallet.paused_at.is_(None), _within_limit(_OWN_DUE))
    .where(_SHARED.element <= bindparam("may_share", type_=Integer))
    .values(expected=Wallet.expected + _SUM, last_used_at=_AT)
)
