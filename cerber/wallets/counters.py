"""What a wallet still expects and what it received today: the counters that its daily limit is held against."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, bindparam, case, or_, select, update

from cerber.context import settings
from cerber.db.engines import db
from cerber.timestamps import day_of
from cerber.wallets.models import Wallet


def settle_up(wallet_pk: int, at: datetime, *, expected: int, received: int) -> None:
    """Adds to what a wallet still expects and to what it received today, in qəpik, in the caller's transaction.

    It locks the wallet, so it comes before all that refers to it: a row that changes makes MySQL share the lock of
    what it refers to, and two who share one can't both go on to change it.
    """
    values = {"wallet_pk": wallet_pk, "today": local_day(at), "more_expected": expected, "more_received": received}
    db.session.connection().execute(_SETTLE_UP, values)


def lock(wallet_pk: int) -> None:
    """Locks a wallet until the caller's transaction ends: no payment is opened on it meanwhile. On SQLite the
    transaction has the one lock already."""
    if db.engine.dialect.name != "sqlite":
        db.session.execute(select(Wallet.id).filter_by(id=wallet_pk).with_for_update())


def received_same_day(moment: datetime, at: datetime) -> bool:
    """Whether both moments fall on one day of the wallets' limits."""
    return local_day(moment) == local_day(at)


def local_day(at: datetime) -> date:
    """The day of the limits on which the moment falls, by CERBER_TIMEZONE."""
    return day_of(at, settings().timezone)


# Of a wallet, by the parameter `today`: what it received on the day of the limits.
RECEIVED_TODAY = case((Wallet.received_on >= bindparam("today", type_=Date), Wallet.received_today), else_=0)

_TODAY, _MORE = bindparam("today", type_=Date), bindparam("more_received", type_=BigInteger)
_BEGINS = or_(Wallet.received_on.is_(None), Wallet.received_on < _TODAY)
_RECEIVED = case((_BEGINS, 0), else_=Wallet.received_today) + _MORE

# Who waited for the lock over midnight adds nothing to the new day. MySQL assigns from left to right and reads what
# it has assigned: the day comes last.
_SETTLE_UP = (
    update(Wallet.__table__)  # type: ignore[arg-type]
    .where(Wallet.id == bindparam("wallet_pk"))
    .ordered_values(
        (Wallet.expected, Wallet.expected + bindparam("more_expected", type_=BigInteger)),
        (
            Wallet.received_today,
            case((Wallet.received_on > _TODAY, Wallet.received_today), (_RECEIVED < 0, 0), else_=_RECEIVED),
        ),
        (Wallet.received_on, case((_BEGINS, _TODAY), else_=Wallet.received_on)),
    )
)
