"""Who presses on what all merchants share, and what waits for a person: read for doctor and /metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, exists, func, not_, select, true

from cerber.audit.models import AuditEntry
from cerber.context import now, settings
from cerber.db import hints
from cerber.db.tables import UTCDateTime
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.payments import caps, holdings, wallet_choice
from cerber.payments.caps import Cap, Held
from cerber.payments.models import Payment
from cerber.payments.states import Status

STUCK_AFTER = timedelta(hours=24)  # that a confirming payment waits for a person


@dataclass(frozen=True, slots=True)
class Holder:
    """A merchant with open payments, how much it holds and how much it may."""

    merch_id: str
    held: Held
    cap: Cap


@dataclass(frozen=True, slots=True)
class Pressure:
    """`pressing` are the merchants near their caps or above. Of the `wallets` that are not paused, `able` can take a
    payment of the smallest sum. `stuck` confirming payments have seen no person for 24 h, `longest_stuck` by its
    internal key the oldest of them.
    """

    pressing: Sequence[Holder]
    wallets: int
    able: int
    stuck: int
    longest_stuck: int | None


def read() -> Pressure:
    with reading() as session:
        state = session.execute(_STATE, _moment()).one()
        rows = session.execute(_HOLDERS, _moment()).all()
    near = [one for one in (_holder(row, state) for row in rows) if one.cap.is_nearly_reached(one.held)]
    return Pressure(near, state.active, state.able, state.stuck, state.longest)


def _holder(row: Any, state: Any) -> Holder:
    alone = state.may_ask <= (row.blocked_at is None)
    cap = caps.cap(settings().open_payments, row.most_open, left=holdings.left(state), alone=alone)
    return Holder(row.merch_id, Held(row.payments, int(row.sum)), cap)


def _moment() -> dict[str, Any]:
    return wallet_choice.asked(1) | {"untouched_since": now() - STUCK_AFTER}


# All that are open, wherever their merchants' histories lie.
_OPEN = (
    hints.by_index(
        select(Payment.merchant_id, *holdings.HELD).where(holdings.is_open()), Payment, "ix_payments_status_due_at"
    )
    .group_by(Payment.merchant_id)
    .subquery("held")
)
_HOLDERS = (
    select(Merchant.merch_id, Merchant.most_open, Merchant.blocked_at, _OPEN.c.payments, _OPEN.c.sum)
    .join(_OPEN, _OPEN.c.merchant_id == Merchant.id)
    .order_by(Merchant.id)
)

_SINCE = bindparam("untouched_since", type_=UTCDateTime())
_TOUCHED = exists().where(AuditEntry.payment_id == Payment.id, AuditEntry.at > _SINCE)
_STUCK = select(func.count().label("stuck"), func.min(Payment.id).label("longest")).where(
    Payment.status == Status.CONFIRMING.value, Payment.opened_at <= _SINCE, not_(_TOUCHED)
)
_MAY_ASK = select(func.count()).where(Merchant.blocked_at.is_(None)).scalar_subquery()
_PARTS = _STUCK.subquery("stuck"), holdings.LIMITS.subquery("limits")
_STATE = select(*_PARTS[0].c, *_PARTS[1].c, wallet_choice.ABLE.label("able"), _MAY_ASK.label("may_ask")).join_from(
    *_PARTS, true()
)
