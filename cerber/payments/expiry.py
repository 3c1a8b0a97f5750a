"""The time-to-live: a payment that is due is expired by whoever touches it first (contract section 3)."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cerber.context import now
from cerber.db.transactions import OUTAGES, reading, transaction
from cerber.payments import changes
from cerber.payments.models import Payment

EXPIRED_AT_ONCE = 100


log = logging.getLogger(__name__)


@transaction
def expire(payment_pk: int) -> bool:
    """Cancels the payment if its time-to-live has run out. Whether it did."""
    return changes.expire_if_due(changes.locked(payment_pk), now())


def expire_due() -> int:
    """Expires what is due, the longest due first: each in a transaction of its own. How many.

    One that can't be expired stops no other: it is told, and tried again the next time.
    """
    expired = 0
    for payment_pk in _due():
        try:
            expired += expire(payment_pk)
        except OUTAGES:
            raise
        except SQLAlchemyError:
            log.exception("Payment %d can't be expired", payment_pk)
    return expired


def _due() -> list[int]:
    due = select(Payment.id).where(Payment.due(now())).order_by(Payment.due_at).limit(EXPIRED_AT_ONCE)
    with reading() as session:
        return list(session.scalars(due))
