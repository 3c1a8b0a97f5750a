"""What a payer has paid before: an operator trusts a number that has paid often, and looks twice at a new one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from cerber.db.hints import by_index
from cerber.db.transactions import reading
from cerber.payments.models import Payment
from cerber.payments.states import Status

COUNTED = 100


@dataclass(frozen=True, slots=True)
class History:
    """How many payments were paid, and when the last of those counted was. With `more` there are more."""

    paid: int
    more: bool
    last: datetime | None


def of(payment: Payment) -> History | None:
    """None for a payer whose wallet is no number: it has no one spelling by which to know it."""
    if payment.user_wallet_digits is None:
        return None
    query = by_index(select(Payment.closed_at), Payment, "ix_payments_user_wallet_digits_status")
    same = (Payment.user_wallet_digits == payment.user_wallet_digits, Payment.status == Status.ACCEPT.value)
    few = query.where(*same, Payment.id != payment.id).limit(COUNTED + 1).subquery()
    with reading() as session:
        number, last = session.execute(select(func.count(), func.max(few.c.closed_at)).select_from(few)).one()
    return History(min(number, COUNTED), number > COUNTED, last)
