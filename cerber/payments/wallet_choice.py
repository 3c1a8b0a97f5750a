"""Which wallet a payment takes (contract section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Date, bindparam, case, exists, func, or_, select, update

from cerber.context import now
from cerber.db.engines import db
from cerber.db.tables import UTCDateTime
from cerber.errors import NoWalletAvailable
from cerber.payments.models import Payment
from cerber.wallets.counters import local_day
from cerber.wallets.models import Wallet


@dataclass(frozen=True, slots=True)
class Taken:
    """A wallet that a payment took: its key, and what the payer is shown."""

    pk: int
    link: str
    image: str
    number: str


def take(payment_sum: int) -> Taken:
    """Takes a wallet for a payment of so many qəpik, inside the caller's transaction.

    One choice at a time: where two saw the same free wallet, both would take it for the same sum, and nobody could
    tell the transfers apart. Raises NoWalletAvailable.
    """
    _wait_for_other_choices()
    at = now()  # the wait may have gone on past midnight, or past the time of other payments
    asked = {"payment_sum": payment_sum, "at": at}
    connection = db.session.connection()
    row = connection.execute(_CHOICE, asked | {"today": local_day(at)}).first()
    if row is None:
        raise NoWalletAvailable("No wallet can take this payment now. Try again later.")
    connection.execute(_TAKE, asked | {"wallet_pk": row.id})
    return Taken(*row)


def _wait_for_other_choices() -> None:
    """On SQLite the transaction itself holds the one lock; on MySQL the choice is seen by a statement after this."""
    db.session.connection()
    if db.engine.dialect.name != "sqlite":
        db.session.execute(_ALL)


_SUM, _AT = bindparam("payment_sum", type_=BigInteger), bindparam("at", type_=UTCDateTime)


_ON_TODAY = case((Wallet.received_on >= bindparam("today", type_=Date), Wallet.received_today), else_=0)


# What is due counts as cancelled. Summed up once for all wallets: with thousands due, by a
# worker that was away, a sum for each wallet takes three times as long.
_DUE = (
    select(Payment.wallet_id, func.sum(Payment.sum).label("sum"))
    .where(Payment.due(_AT))
    .group_by(Payment.wallet_id)
    .subquery("due")
)


_EXPECTED = Wallet.expected - func.coalesce(_DUE.c.sum, 0)


_WITHIN_LIMIT = or_(Wallet.daily_limit.is_(None), Wallet.daily_limit >= _ON_TODAY + _EXPECTED + _SUM)


_SUM_UNDER_WAY = exists().where(Payment.wallet_id == Wallet.id, Payment.sum == _SUM, Payment.holds_sum_until > _AT)


# Built once: building a statement costs more than SQLite takes to run it.
_CHOICE = (
    select(Wallet.id, Wallet.link, Wallet.image, Wallet.number)
    .outerjoin(_DUE, _DUE.c.wallet_id == Wallet.id)
    .where(Wallet.paused_at.is_(None), _WITHIN_LIMIT)
    .order_by(case((_SUM_UNDER_WAY, 1), else_=0), Wallet.last_used_at.is_not(None), Wallet.last_used_at, Wallet.id)
    .limit(1)
)


_ALL = select(Wallet.id).order_by(Wallet.id).with_for_update()


_TAKE = (
    update(Wallet)
    .where(Wallet.id == bindparam("wallet_pk"))
    .values(expected=Wallet.expected + _SUM, last_used_at=_AT)
    .execution_options(synchronize_session=False)  # no wallet is loaded, and on MySQL it would cost a SELECT
)
