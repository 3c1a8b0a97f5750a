"""One change of a payment, as contract section 3 wants it: all of it or nothing.

The row is locked, the table of `states` says what becomes of it, and its wallet's counters, the payment, its
transfer, its webhook and its audit entry are written in the caller's transaction, in the order of locks that
docs/design.md tells.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Table, bindparam, exists, insert, select, update

from cerber import money
from cerber.audit import trail
from cerber.db.engines import db
from cerber.errors import CHANGED, NotFound, TimeIsUp
from cerber.payments import entries, rivals
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import ASK_FOR_TRANSFERS, OPEN, RECORD_MONEY, Event, Facts, Status, Step, decide, is_due
from cerber.wallets import counters
from cerber.webhooks import outbox

SUM_HELD_AFTER = timedelta(hours=24)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)

_PAYMENTS: Table = Payment.__table__  # type: ignore[assignment]
# What is so from the opening on; all other columns are saved.
_FIXED = {"id", "merchant_id", "payment_id", "wallet_id", "user_wallet", "user_wallet_digits", "sum", "callback_url"}
_FIXED |= {"create_time", "create_time_text", "create_time_read", "opened_at", "due_at", "link_version"}
_CHANGING = [column.name for column in _PAYMENTS.columns if column.name not in _FIXED]

# Built once, and no business of the ORM's, which takes several times as long.
_LOCKED = select(_PAYMENTS).where(_PAYMENTS.c.id == bindparam("pk")).with_for_update()
_SAVE = update(_PAYMENTS).where(_PAYMENTS.c.id == bindparam("pk"))
_SAVE = _SAVE.values({name: bindparam(name) for name in _CHANGING})
_TRANSFER = insert(Transfer.__table__)  # type: ignore[arg-type]


def locked(payment_pk: int) -> Payment:
    """The payment, locked until the caller's transaction ends: the first of the locks. Raises NotFound."""
    row = db.session.connection().execute(_LOCKED, {"pk": payment_pk}).first()
    if row is None:
        raise NotFound("There is no such payment.")
    return Payment(**row._mapping)


def save(payment: Payment) -> None:
    """Writes what may change of a payment: the session doesn't know it."""
    row = {name: getattr(payment, name) for name in _CHANGING}
    db.session.connection().execute(_SAVE, row | {"pk": payment.id})


def facts(payment: Payment, event: Event) -> Facts:
    """What the table needs to know of the payment, read in the caller's transaction."""
    asked = event in ASK_FOR_TRANSFERS and payment.status != Status.PENDING
    recorded = exists().where(Transfer.payment_id == payment.id)
    return payment.facts(ever_received=asked and bool(db.session.scalar(select(recorded))))


def expire_if_due(payment: Payment, at: datetime) -> bool:
    """Cancels a locked payment whose time-to-live has run out. Whether it did."""
    if not is_due(Status(payment.status), payment.due_at, at):
        return False
    apply(payment, Event.EXPIRE, "expiry", at)
    return True


def refuse_if_due(payment: Payment, at: datetime) -> None:
    """Raises TimeIsUp for a payment that has to be expired before anything else happens to it."""
    if is_due(Status(payment.status), payment.due_at, at):
        raise TimeIsUp(CHANGED, payment.status)


def apply(
    payment: Payment, event: Event, actor: str, at: datetime, amount: int = 0, reference: str | None = None
) -> None:
    """Does to a locked payment what the table says of `event`; `amount` in qəpik is the transfer recorded.

    Raises PaymentClosed, MoneyReceived and NotPossible, and then ReferenceNeeded, before anything is written.
    """
    step = decide(event, facts(payment, event), at, amount)
    if event in RECORD_MONEY and reference is None:
        rivals.refuse(payment, at)
    if event is Event.MERCHANT_ACCEPT:
        payment.paid_version = payment.version + 1
    if not become(payment, step, at, received_today=step.transfer or 0):
        return
    if step.transfer is not None:
        _record(payment, step.transfer, reference, actor, at)
    trail.note(at, actor, event.value, payment.id, status=step.status, received=money.text(step.received))


def become(payment: Payment, step: Step, at: datetime, *, received_today: int) -> bool:
    """Makes the payment what `step` says, with its wallet's counters and its webhook. Whether anything changed."""
    before = (payment.status, payment.received, payment.cancel_cause)
    if before == (step.status, step.received, step.cancel_cause):
        return False
    entries.enter(payment, step, at)
    expected = _expected(step.status, payment.sum - step.received)
    expected -= _expected(payment.status, payment.sum - payment.received)
    if expected or received_today:
        counters.settle_up(payment.wallet_id, at, expected=expected, received=received_today)
    if payment.status != step.status:
        _close_or_open(payment, step.status, at)
    payment.status, payment.received, payment.cancel_cause = step.status.value, step.received, step.cancel_cause
    payment.version += 1
    save(payment)
    if step.webhook is not None:
        outbox.enqueue(payment, step.webhook, at)
    return True


def _record(payment: Payment, amount: int, reference: str | None, actor: str, at: datetime) -> None:
    row = {
        "payment_id": payment.id,
        "wallet_id": payment.wallet_id,
        "sum": amount,
        "reference": reference,
        "live_reference": reference,
        "recorded_at": at,
        "recorded_by": actor,
    }
    db.session.connection().execute(_TRANSFER, row)


def _close_or_open(payment: Payment, status: Status, at: datetime) -> None:
    payment.closed_at = None if status in OPEN else at
    payment.checking_since = at if status is Status.CONFIRMING else None
    payment.holds_sum_until = FOREVER if status in OPEN else at + SUM_HELD_AFTER


def _expected(status: str, missing: int) -> int:
    """What the payment's wallet still waits for, in qəpik."""
    return max(missing, 0) if status in OPEN else 0
