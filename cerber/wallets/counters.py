"""What a wallet still expects and what it received today: the counters that its daily limit is held against."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select

from cerber.context import settings
from cerber.db.engines import db
from cerber.timestamps import day_of
from cerber.wallets.models import Wallet


def settle_up(wallet_pk: int, at: datetime, *, expected: int, received: int) -> None:
    """Adds to what a wallet still expects and to what it received today, in qəpik, in the caller's transaction."""
    wallet = db.session.scalars(select(Wallet).filter_by(id=wallet_pk).with_for_update()).one()
    today = local_day(at)
    if wallet.received_on is None or wallet.received_on < today:
        wallet.received_on, wallet.received_today = today, 0
    wallet.expected += expected
    if wallet.received_on == today:  # else one that waited for the lock over midnight
        wallet.received_today = max(wallet.received_today + received, 0)


def received_same_day(moment: datetime, at: datetime) -> bool:
    """Whether both moments fall on one day of the wallets' limits."""
    return local_day(moment) == local_day(at)


def local_day(at: datetime) -> date:
    """The day of the limits on which the moment falls, by CERBER_TIMEZONE."""
    return day_of(at, settings().timezone)
