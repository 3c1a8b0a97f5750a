"""One change of a payment, as contract section 3 wants it: all of it or nothing.

The row is locked, the table of `payment_states` says what becomes of it, and the payment, its transfer, its wallet's
counters, its webhook and its audit entry are written in the caller's transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import exists, select

from cerber import money
from cerber.audit import trail
from cerber.db.engines import db
from cerber.errors import NotFound
from cerber.payments import entries
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import OPEN, Event, Facts, Status, Step, decide, is_due
from cerber.wallets import counters
from cerber.webhooks import outbox

SUM_HELD_AFTER = timedelta(hours=24)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def locked(payment_pk: int) -> Payment:
    """The payment, locked until the caller's transaction ends. Raises NotFound."""
    payment = db.session.scalar(select(Payment).filter_by(id=payment_pk).with_for_update())
    if payment is None:
        raise NotFound("There is no such payment.")
    return payment


def facts(payment: Payment) -> Facts:
    """What the table needs to know of the payment, read in the caller's transaction."""
    ever_received = bool(db.session.scalar(select(exists().where(Transfer.payment_id == payment.id))))
    return payment.facts(ever_received=ever_received)


def expire_if_due(payment: Payment, at: datetime) -> bool:
    """Cancels a locked payment whose time-to-live has run out. Whether it did."""
    if not is_due(Status(payment.status), payment.due_at, at):
        return False
    apply(payment, Event.EXPIRE, "expiry", at)
    return True


def apply(
    payment: Payment, event: Event, actor: str, at: datetime, amount: int = 0, reference: str | None = None
) -> None:
    """Does to a locked payment what the table says of `event`; `amount` in qəpik is the transfer recorded.

    Raises PaymentClosed, MoneyReceived and NotPossible, before anything is written.
    """
    step = decide(event, facts(payment), at, amount)
    if step.transfer is not None:
        _record(payment, step.transfer, reference, actor, at)
    changed = become(payment, step, at, received_today=step.transfer or 0)
    if changed:
        trail.note(at, actor, event.value, payment.id, status=step.status, received=money.text(step.received))


def become(payment: Payment, step: Step, at: datetime, *, received_today: int) -> bool:
    """Makes the payment what `step` says, with its wallet's counters and its webhook. Whether anything changed."""
    before = (payment.status, payment.received, payment.cancel_cause)
    if before == (step.status, step.received, step.cancel_cause):
        return False
    entries.enter(payment, step, at)
    expected_before = _expected(payment)
    was = payment.status
    payment.status, payment.received, payment.cancel_cause = step.status.value, step.received, step.cancel_cause
    payment.version += 1
    if payment.status != was:
        _close_or_open(payment, at)
    expected = _expected(payment) - expected_before
    if expected or received_today:
        counters.settle_up(payment.wallet_id, at, expected=expected, received=received_today)
    if step.webhook is not None:
        outbox.enqueue(payment, step.webhook, at)
    return True


def _record(payment: Payment, amount: int, reference: str | None, actor: str, at: datetime) -> None:
    transfer = Transfer(
        payment_id=payment.id,
        wallet_id=payment.wallet_id,
        sum=amount,
        reference=reference,
        live_reference=reference,
        recorded_at=at,
        recorded_by=actor,
    )
    db.session.add(transfer)


def _close_or_open(payment: Payment, at: datetime) -> None:
    payment.closed_at = None if payment.status in OPEN else at
    payment.holds_sum_until = FOREVER if payment.status in OPEN else at + SUM_HELD_AFTER


def _expected(payment: Payment) -> int:
    """What the payment's wallet still waits for, in qəpik."""
    return max(payment.sum - payment.received, 0) if payment.status in OPEN else 0
