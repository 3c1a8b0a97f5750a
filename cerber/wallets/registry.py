"""Wallets: the operators' own, and which one a payment takes (contract section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import BigInteger, Date, bindparam, case, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from cerber.audit import trail
from cerber.context import now, settings
from cerber.db.engines import UTCDateTime, db, reading, transaction
from cerber.errors import AlreadyExists, NotFound, NoWalletAvailable
from cerber.payments.models import Payment
from cerber.timestamps import day_of
from cerber.wallets import qr
from cerber.wallets.models import LONGEST_LINK, Wallet

_LINK = re.compile(r"https?://[^\s/?#]+\S*")


@transaction
def add(number: str, link: str, label: str, daily_limit: int | None, actor: str) -> None:
    """A new wallet, active at once. The limit is in qəpik. Raises AlreadyExists, and ValueError for a bad link."""
    if not _LINK.fullmatch(link) or not link.isprintable() or len(link) > LONGEST_LINK:
        raise ValueError(f"must be an http or https address of at most {LONGEST_LINK} characters, without blanks")
    image = qr.png_base64(link)
    wallet = Wallet(number=number, link=link, label=label, daily_limit=daily_limit, image=image, created_at=now())
    db.session.add(wallet)
    try:
        db.session.flush()
    except IntegrityError:
        raise AlreadyExists(f"There is a wallet {number} already.") from None
    trail.note(now(), actor, "wallet_added", number=number)


@transaction
def set_paused(number: str, actor: str, *, paused: bool) -> None:
    """Pauses or resumes a wallet: for new payments only. Doing it twice changes nothing. Raises NotFound."""
    wallet = db.session.scalar(select(Wallet).filter_by(number=number).with_for_update())
    if wallet is None:
        raise NotFound(f"There is no wallet {number}.")
    if paused != (wallet.paused_at is not None):
        wallet.paused_at = now() if paused else None
        trail.note(now(), actor, "wallet_paused" if paused else "wallet_resumed", number=number)


def list_all() -> list[Wallet]:
    with reading() as session:
        return list(session.scalars(select(Wallet).order_by(Wallet.id)))


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
    row = connection.execute(_CHOICE, asked | {"today": _today(at)}).first()
    if row is None:
        raise NoWalletAvailable("No wallet can take this payment now. Try again later.")
    connection.execute(_TAKE, asked | {"wallet_pk": row.id})
    return Taken(*row)


def _wait_for_other_choices() -> None:
    """On SQLite the transaction itself holds the one lock; on MySQL the choice is seen by a statement after this."""
    db.session.connection()
    if db.engine.dialect.name != "sqlite":
        db.session.execute(_ALL)


def settle_up(wallet_pk: int, at: datetime, *, expected: int, received: int) -> None:
    """Adds to what a wallet still expects and to what it received today, in qəpik, in the caller's transaction."""
    wallet = db.session.scalars(select(Wallet).filter_by(id=wallet_pk).with_for_update()).one()
    today = _today(at)
    if wallet.received_on is None or wallet.received_on < today:
        wallet.received_on, wallet.received_today = today, 0
    wallet.expected += expected
    if wallet.received_on == today:  # else one that waited for the lock over midnight
        wallet.received_today = max(wallet.received_today + received, 0)


def received_same_day(moment: datetime, at: datetime) -> bool:
    """Whether both moments fall on one day of the wallets' limits."""
    return _today(moment) == _today(at)


def _today(at: datetime) -> date:
    return day_of(at, settings().timezone)


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
