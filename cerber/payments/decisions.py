"""What happens to an opened payment: one function for each thing that a merchant or an operator does.

`opening` opens them, `expiry` ends those that nobody paid; `changes` writes each change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cerber import money
from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.errors import CHANGED, NotFound, ReferenceUsed, TimeIsUp, VersionChanged
from cerber.payments import changes, expiry
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import Event, Status, decide, is_seen
from cerber.wallets import counters


def merchant_update(payment_pk: int, actor: str, *, accept: bool) -> Status:
    """The merchant says that the payer sent the money, or gave up. Raises PaymentClosed and MoneyReceived."""
    event = Event.MERCHANT_ACCEPT if accept else Event.MERCHANT_CANCEL
    try:
        return _merchant_update(payment_pk, actor, event)
    except TimeIsUp:
        expiry.expire(payment_pk)
        return _merchant_update(payment_pk, actor, event)


def record_transfer(payment_pk: int, version: int, actor: str, amount: int, reference: str | None = None) -> None:
    """An operator saw `amount` qəpik arrive. A reference is unique for a wallet.

    Raises NotFound, VersionChanged, NotPossible and ReferenceUsed; the same holds for all that operators do.
    """
    _decide(Event.TRANSFER, payment_pk, version, partial(_apply, actor, amount, reference))


def accept(payment_pk: int, version: int, actor: str, reference: str | None = None) -> None:
    """An operator saw all that was missing arrive."""
    _decide(Event.OPERATOR_ACCEPT, payment_pk, version, partial(_apply, actor, 0, reference))


def settle(payment_pk: int, version: int, actor: str) -> None:
    """An operator accepts what came, and writes the rest off."""
    _decide(Event.SETTLE, payment_pk, version, partial(_apply, actor, 0, None))


def cancel(payment_pk: int, version: int, actor: str) -> None:
    """An operator cancels a payment for which nothing has come."""
    _decide(Event.OPERATOR_CANCEL, payment_pk, version, partial(_apply, actor, 0, None))


def void_transfer(payment_pk: int, transfer_pk: int, version: int, actor: str, reason: str) -> None:
    """An admin takes a transfer back that was recorded by mistake."""
    _decide(Event.VOID, payment_pk, version, partial(_void, transfer_pk, actor, reason))


def current_status(payment_pk: int) -> Status:
    """What the payment is now, expired if it was due, by whoever was first."""
    expiry.expire(payment_pk)
    with reading() as session:
        return Status(session.scalars(select(Payment.status).filter_by(id=payment_pk)).one())


@transaction
def _merchant_update(payment_pk: int, actor: str, event: Event) -> Status:
    """What the payment becomes. Raises TimeIsUp too: an expiry is a transaction of its own, so that no refusal undoes
    it."""
    payment = changes.locked(payment_pk)
    at = now()  # after the wait for the lock: who waited over the time is too late
    changes.refuse_if_due(payment, at)
    changes.apply(payment, event, actor, at)
    return Status(payment.status)


Decision = Callable[[Event, Payment, datetime], None]


def _decide(event: Event, payment_pk: int, version: int, decision: Decision) -> None:
    """What an operator decides about the payment as they saw it. Of one that is due nobody has seen the expiry yet,
    whatever version they guessed."""
    try:
        _decide_at_version(event, payment_pk, version, decision)
    except TimeIsUp:
        raise VersionChanged(CHANGED, current_status(payment_pk)) from None


@transaction
def _decide_at_version(event: Event, payment_pk: int, version: int, decision: Decision) -> None:
    payment = changes.locked(payment_pk)
    at = now()  # after the wait for the lock: who waited over the time is too late
    changes.refuse_if_due(payment, at)
    if not is_seen(event, version, version=payment.version, paid_version=payment.paid_version):
        raise VersionChanged(CHANGED, payment.status)
    decision(event, payment, at)


def _apply(actor: str, amount: int, reference: str | None, event: Event, payment: Payment, at: datetime) -> None:
    try:
        changes.apply(payment, event, actor, at, amount, reference)
        db.session.flush()
    except IntegrityError:
        if reference is None:  # a broken CHECK: a mistake of ours, which no operator can mend
            raise
        raise ReferenceUsed("This wallet already has a transfer with this operation number.") from None


def _void(transfer_pk: int, actor: str, reason: str, event: Event, payment: Payment, at: datetime) -> None:
    transfer = db.session.scalar(select(Transfer).filter_by(id=transfer_pk, payment_id=payment.id))
    if transfer is None or transfer.voided_at is not None:
        raise NotFound("There is no such transfer, or it is voided already.")
    step = decide(event, changes.facts(payment, event), at, transfer.sum)
    today = transfer.sum if counters.received_same_day(transfer.recorded_at, at) else 0
    changes.become(payment, step, at, received_today=-today)
    transfer.voided_at, transfer.voided_by, transfer.void_reason = at, actor, reason
    transfer.live_reference = None
    trail.note(at, actor, "void", payment.id, sum=money.text(transfer.sum), reason=reason)
