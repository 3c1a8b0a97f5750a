"""Payments that one transfer might be for: open, of the same sum, on the same wallet.

A payer sends a sum and no name of a payment. So where two wait for the same sum, only the number of the operation
says that no transfer is taken twice: it is unique for a wallet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, not_, select
from sqlalchemy.orm import Session, joinedload

from cerber.db.engines import db
from cerber.errors import ReferenceNeeded
from cerber.payments.models import Payment
from cerber.payments.states import OPEN
from cerber.wallets import counters

SHOWN = 20
ASKED = "Another open payment waits for this sum on this wallet. See whose transfer it is, and give its number."


def of(session: Session, payment: Payment, at: datetime) -> Sequence[Payment]:
    """The others that wait for this payment's sum on its wallet, the oldest first, with their merchants; not all of
    very many."""
    found = _rivals(payment, at).options(joinedload(Payment.merchant)).order_by(Payment.id).limit(SHOWN)
    return session.scalars(found).all()


def refuse(payment: Payment, at: datetime) -> None:
    """Raises ReferenceNeeded where there is one. Locks the wallet first: nobody opens one on it meanwhile."""
    counters.lock(payment.wallet_id)
    if db.session.scalar(_rivals(payment, at).with_only_columns(Payment.id).limit(1)) is not None:
        raise ReferenceNeeded(ASKED)


def _rivals(payment: Payment, at: datetime) -> Select[Payment]:
    """One that is due counts as cancelled."""
    return select(Payment).where(
        Payment.wallet_id == payment.wallet_id,
        Payment.sum == payment.sum,
        Payment.holds_sum_until > at,
        Payment.status.in_(OPEN),
        Payment.id != payment.id,
        not_(func.coalesce(Payment.due(at), False)),
    )
