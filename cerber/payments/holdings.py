"""What a merchant holds open, counted so that none of many requests at once gets past the cap that `caps` rules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, case, cast, func, not_, select, true

from cerber.context import now, settings
from cerber.db import hints
from cerber.db.engines import db
from cerber.db.tables import UTCDateTime
from cerber.errors import TooManyRequests
from cerber.merchants import gates
from cerber.merchants.models import Merchant
from cerber.payments import caps
from cerber.payments.caps import Held
from cerber.payments.models import Payment
from cerber.payments.states import OPEN
from cerber.wallets.counters import RECEIVED_TODAY, local_day
from cerber.wallets.models import Wallet

RETRY_AFTER = 60  # seconds: payments end by being decided, and nobody knows when

# All that is asked for stands in this index.
BY_MERCHANT = "ix_payments_merchant_id_status_due_at_sum"


class NearCap(Exception):
    """So near to the cap payments are opened one after the other."""


def admit(merchant_pk: int, own: int | None, asked: int, *, alone: bool) -> None:
    """Makes sure that the merchant may open one more payment, of so many qəpik; `own` is its own limit.

    It is the first thing in the caller's transaction, and its first lock: who opens a payment of this merchant
    `alone` waits until nobody else does, and keeps others waiting until the transaction is over. Who waits here holds
    nothing that anybody wants. Raises TooManyRequests, and NearCap where one has to be alone.
    """
    capped = bool(settings().open_payments if own is None else own)
    if capped or alone:
        gates.hold(merchant_pk, alone=alone)
    if not capped:
        return
    at = now()
    row = db.session.connection().execute(_HELD, {"merchant": merchant_pk, "at": at, "today": local_day(at)}).one()
    cap = caps.cap(settings().open_payments, own, left=left(row), alone=not row.others)
    held = Held(row.payments, int(row.sum))
    if (refusal := cap.refusal(held, asked)) is not None:
        raise TooManyRequests(refusal, RETRY_AFTER)
    if not (alone or cap.is_safe(held, asked) or db.engine.dialect.name == "sqlite"):
        raise NearCap


def is_open() -> ColumnElement[bool]:
    """Whether a payment is open at the moment `at`: one that is due counts as cancelled (contract section 3)."""
    due = Payment.due(bindparam("at", type_=UTCDateTime()))
    return and_(Payment.status.in_([str(status) for status in OPEN]), not_(func.coalesce(due, False)))


def left(row: Any) -> int | None:
    """What the wallets' limits leave, of a row with the columns of `LIMITS`. None where one has no limit."""
    return int(row.limits_leave) if row.active and row.active == row.limited else None


_ROOM = Wallet.daily_limit - RECEIVED_TODAY  # late money may pass a limit
_LEFT = cast(func.coalesce(func.sum(case((_ROOM > 0, _ROOM), else_=0)), 0), BigInteger).label("limits_leave")
_ACTIVE, _LIMITED = func.count().label("active"), func.count(Wallet.daily_limit).label("limited")

# Of the wallets that payments may take, by the parameter `today`.
LIMITS = select(_LEFT, _ACTIVE, _LIMITED).where(Wallet.paused_at.is_(None))
HELD = (func.count().label("payments"), func.coalesce(func.sum(Payment.sum), 0).label("sum"))

# Built once: building a statement costs more than SQLite takes to run it.
_OWN = hints.by_index(
    select(*HELD).where(Payment.merchant_id == bindparam("merchant"), is_open()), Payment, BY_MERCHANT
)
_OTHERS = select(Merchant.id).where(Merchant.id != bindparam("merchant"), Merchant.blocked_at.is_(None)).exists()
_PARTS = _OWN.subquery("own"), LIMITS.subquery("limits")
_HELD = select(*_PARTS[0].c, *_PARTS[1].c, _OTHERS.label("others")).join_from(*_PARTS, true())
