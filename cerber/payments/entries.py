"""What a change of a payment moves in the ledger, entered in the transaction of that change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case

from cerber.ledger import posting
from cerber.ledger.accounts import Accounts, change
from cerber.payments.models import Payment
from cerber.payments.standing import standing
from cerber.payments.states import OPEN, Status, Step


def enter_opening(payment_pk: int, row: Mapping[str, Any]) -> None:
    """Enters a new payment; `row` is what was inserted."""
    asked = standing(Status.PENDING, row["sum"], 0)
    posting.post(payment_pk, row["merchant_id"], row["create_time"], row["version"], row["opened_at"], asked)


def enter(payment: Payment, step: Step, at: datetime) -> None:
    """Enters what `step` moves, before it is made: under the version that the payment gets by it."""
    moved = change(standing_of(payment), standing(step.status, payment.sum, step.received))
    posting.post(payment.id, payment.merchant_id, payment.create_time, payment.version + 1, at, moved)


def standing_of(payment: Payment) -> Accounts:
    """Where the payment's sum stands, in qəpik."""
    return standing(Status(payment.status), payment.sum, payment.received)


_OPEN = Payment.status.in_(OPEN)
_MISSING = case((Payment.sum > Payment.received, Payment.sum - Payment.received), else_=0)

# `standing` in SQL, an expression for each account.
STANDING: Mapping[str, ColumnElement[int]] = {
    "ordered": -Payment.sum,
    "expected": case((_OPEN, _MISSING), else_=0),
    "received": Payment.received.expression,
    "written_off": case((Payment.status == Status.ACCEPT.value, _MISSING), else_=0),
    "cancelled": case((Payment.status == Status.CANCEL.value, Payment.sum), else_=0),
    "overpaid": case((Payment.received > Payment.sum, Payment.sum - Payment.received), else_=0),
}
