"""What happens to payments: one function for each thing that a merchant, an operator or the clock does.

Each locks the payment's row, asks the table of contract section 3 what becomes of it, and writes the payment, its
transfer, its wallet's counters, its webhook and its audit entry in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, exists, insert, select
from sqlalchemy.exc import IntegrityError

from cerber import money
from cerber.context import now, settings
from cerber.database import db, reading, transaction
from cerber.errors import NotFound, NoWalletAvailable, PaymentClosed, PaymentIdReused, ReferenceUsed, VersionChanged
from cerber.models import Payment, Transfer, Wallet
from cerber.payment_states import OPEN, Cause, Event, Status, Step, decide, is_due
from cerber.payment_states import Payment as Facts
from cerber.services import audit, outbox, wallets

SUM_HELD_AFTER = timedelta(hours=24)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
EXPIRED_AT_ONCE = 100


# Built once: building a statement costs more than SQLite takes to run it.
_INSERT = insert(Payment.__table__)  # type: ignore[arg-type]
_KNOWN = select(
    Payment.id, Payment.status, Payment.due_at, Payment.sum, Payment.user_wallet, Payment.callback_url
).where(Payment.merchant_id == bindparam("merchant"), Payment.payment_id == bindparam("id"))
_SHOWN = (
    select(Payment.payment_id, Wallet.link, Wallet.image, Wallet.number)
    .join(Wallet, Wallet.id == Payment.wallet_id)
    .where(Payment.id == bindparam("pk"))
)


@dataclass(frozen=True, slots=True)
class Request:
    """A checked get_wallet. The sum is in qəpik."""

    payment_id: str
    user_wallet: str
    sum: int
    callback_url: str
    create_time: datetime | None
    create_time_text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a payer needs to send the money."""

    payment_id: str
    link: str
    image: str
    number: str


def open_payment(merchant_pk: int, request: Request) -> Shown:
    """Opens a payment, or finds the open one that an equal request made before.

    Raises PaymentIdReused, PaymentClosed and NoWalletAvailable.
    """
    payment_pk = _same_open(merchant_pk, request)
    if payment_pk is None:
        try:
            payment_pk = _open_with_room(merchant_pk, request)
        except (IntegrityError, NoWalletAvailable):
            payment_pk = _same_open(
                merchant_pk, request
            )  # an equal request was faster, and may have filled the wallet
            if payment_pk is None:
                raise
    return _shown(payment_pk)


def merchant_update(payment_pk: int, actor: str, *, accept: bool) -> Status:
    """The merchant says that the payer sent the money, or gave up. Raises PaymentClosed and MoneyReceived."""
    expire(payment_pk)
    return _merchant_update(payment_pk, actor, Event.MERCHANT_ACCEPT if accept else Event.MERCHANT_CANCEL)


def record_transfer(payment_pk: int, version: int, actor: str, amount: int, reference: str | None = None) -> None:
    """An operator saw `amount` qəpik arrive. A reference is unique for a wallet.

    Raises NotFound, VersionChanged, NotPossible and ReferenceUsed; the same holds for all that operators do.
    """
    _decide(payment_pk, version, Event.TRANSFER, actor, amount, reference)


def accept(payment_pk: int, version: int, actor: str) -> None:
    """An operator saw all that was missing arrive."""
    _decide(payment_pk, version, Event.OPERATOR_ACCEPT, actor)


def settle(payment_pk: int, version: int, actor: str) -> None:
    """An operator accepts what came, and writes the rest off."""
    _decide(payment_pk, version, Event.SETTLE, actor)


def cancel(payment_pk: int, version: int, actor: str) -> None:
    """An operator cancels a payment for which nothing has come."""
    _decide(payment_pk, version, Event.OPERATOR_CANCEL, actor)


def void_transfer(payment_pk: int, transfer_pk: int, version: int, actor: str, reason: str) -> None:
    """An admin takes a transfer back that was recorded by mistake."""
    expire(payment_pk)
    _void(payment_pk, transfer_pk, version, actor, reason)


@transaction
def expire(payment_pk: int) -> bool:
    """Cancels the payment if its time-to-live has run out. Whether it did."""
    return _expire_if_due(_locked(payment_pk), now())


def expire_due(most: int = EXPIRED_AT_ONCE) -> int:
    """Expires what is due, the longest due first: each in a transaction of its own. How many were due, whoever
    expired them in the end."""
    due = _due(most)
    for payment_pk in due:
        expire(payment_pk)
    return len(due)


def current_status(payment_pk: int) -> Status:
    """What the payment is now, expired if it was due, by whoever was first."""
    expire(payment_pk)
    with reading() as session:
        return Status(session.scalars(select(Payment.status).filter_by(id=payment_pk)).one())


def _due(most: int) -> list[int]:
    due = (Payment.status == "pending", Payment.due_at <= now())
    with reading() as session:
        return list(session.scalars(select(Payment.id).where(*due).order_by(Payment.due_at).limit(most)))


@transaction
def _open(merchant_pk: int, request: Request) -> int:
    at = now()
    ttl = settings().payment_ttl
    due_at = at + timedelta(seconds=ttl) if ttl else None
    row = {
        "merchant_id": merchant_pk,
        "payment_id": request.payment_id,
        "wallet_id": wallets.take(request.sum, at),
        "user_wallet": request.user_wallet,
        "sum": request.sum,
        "status": Status.PENDING.value,
        "callback_url": request.callback_url,
        "create_time": request.create_time or at,
        "create_time_text": request.create_time_text,
        "create_time_read": request.create_time is not None,
        "opened_at": at,
        "due_at": due_at,
        "holds_sum_until": due_at + SUM_HELD_AFTER if due_at else FOREVER,
        "received": 0,
        "version": 1,
    }
    return int(db.session.connection().execute(_INSERT, row).lastrowid)


def _open_with_room(merchant_pk: int, request: Request) -> int:
    while True:
        try:
            return _open(merchant_pk, request)
        except NoWalletAvailable:
            if not expire_due():  # what is due counts as cancelled, and may have held the room
                raise


@transaction
def _merchant_update(payment_pk: int, actor: str, event: Event) -> Status:
    payment = _locked(payment_pk)
    _apply(payment, event, actor, now())
    return Status(payment.status)


def _same_open(merchant_pk: int, request: Request) -> int | None:
    """The open payment that an equal request made, or None where the id is new."""
    payment = _find(merchant_pk, request.payment_id)
    if payment is not None and is_due(Status(payment.status), payment.due_at, now()):
        expire(payment.id)
        payment = _find(merchant_pk, request.payment_id)
    if payment is None:
        return None
    asked = (request.sum, request.user_wallet, request.callback_url)
    if (payment.sum, payment.user_wallet, payment.callback_url) != asked:
        raise PaymentIdReused("This payment_id belongs to a payment with other data.", payment.status)
    if payment.status not in OPEN:
        raise PaymentClosed("This payment is closed. Use a new payment_id.", payment.status)
    return int(payment.id)


def _find(merchant_pk: int, payment_id: str) -> Any:
    with db.engines["reads"].connect() as connection:
        return connection.execute(_KNOWN, {"merchant": merchant_pk, "id": payment_id}).first()


def _shown(payment_pk: int) -> Shown:
    with db.engines["reads"].connect() as connection:
        return Shown(*connection.execute(_SHOWN, {"pk": payment_pk}).one())


def _decide(
    payment_pk: int, version: int, event: Event, actor: str, amount: int = 0, reference: str | None = None
) -> None:
    expire(payment_pk)
    _decide_at_version(payment_pk, version, event, actor, amount, reference)


@transaction
def _decide_at_version(
    payment_pk: int, version: int, event: Event, actor: str, amount: int, reference: str | None
) -> None:
    payment = _at_version(payment_pk, version)
    try:
        _apply(payment, event, actor, now(), amount, reference)
        db.session.flush()
    except IntegrityError:
        raise ReferenceUsed("This wallet already has a transfer with this reference.") from None


@transaction
def _void(payment_pk: int, transfer_pk: int, version: int, actor: str, reason: str) -> None:
    at = now()
    payment = _at_version(payment_pk, version)
    transfer = db.session.scalar(select(Transfer).filter_by(id=transfer_pk, payment_id=payment_pk))
    if transfer is None or transfer.voided_at is not None:
        raise NotFound("There is no such transfer, or it is voided already.")
    step = decide(Event.VOID, _facts(payment), at, transfer.sum)
    transfer.voided_at, transfer.voided_by, transfer.void_reason = at, actor, reason
    transfer.live_reference = None
    today = transfer.sum if wallets.received_same_day(transfer.recorded_at, at) else 0
    _become(payment, step, at, received_today=-today)
    audit.note(at, actor, "void", payment.id, sum=money.text(transfer.sum), reason=reason)


def _locked(payment_pk: int) -> Payment:
    payment = db.session.scalar(select(Payment).filter_by(id=payment_pk).with_for_update())
    if payment is None:
        raise NotFound("There is no such payment.")
    return payment


def _at_version(payment_pk: int, version: int) -> Payment:
    payment = _locked(payment_pk)
    if payment.version != version:
        raise VersionChanged("This payment has changed since the page was shown. Look again.", payment.status)
    return payment


def _facts(payment: Payment) -> Facts:
    return Facts(
        status=Status(payment.status),
        sum=payment.sum,
        received=payment.received,
        cancel_cause=Cause(payment.cancel_cause) if payment.cancel_cause else None,
        ever_received=bool(db.session.scalar(select(exists().where(Transfer.payment_id == payment.id)))),
        due_at=payment.due_at,
    )


def _expire_if_due(payment: Payment, at: datetime) -> bool:
    if not is_due(Status(payment.status), payment.due_at, at):
        return False
    _apply(payment, Event.EXPIRE, "expiry", at)
    return True


def _apply(
    payment: Payment, event: Event, actor: str, at: datetime, amount: int = 0, reference: str | None = None
) -> None:
    step = decide(event, _facts(payment), at, amount)
    if step.transfer is not None:
        _record(payment, step.transfer, reference, actor, at)
    changed = _become(payment, step, at, received_today=step.transfer or 0)
    if changed:
        audit.note(at, actor, event.value, payment.id, status=step.status, received=money.text(step.received))


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


def _become(payment: Payment, step: Step, at: datetime, *, received_today: int) -> bool:
    """Makes the payment what `step` says, with its wallet's counters and its webhook. Whether anything changed."""
    before = (payment.status, payment.received, payment.cancel_cause)
    if before == (step.status, step.received, step.cancel_cause):
        return False
    expected_before = _expected(payment)
    was = payment.status
    payment.status, payment.received, payment.cancel_cause = step.status.value, step.received, step.cancel_cause
    payment.version += 1
    if payment.status != was:
        _close_or_open(payment, at)
    expected = _expected(payment) - expected_before
    if expected or received_today:
        wallets.settle_up(payment.wallet_id, at, expected=expected, received=received_today)
    if step.webhook is not None:
        outbox.enqueue(payment, step.webhook, at)
    return True


def _close_or_open(payment: Payment, at: datetime) -> None:
    payment.closed_at = None if payment.status in OPEN else at
    payment.holds_sum_until = FOREVER if payment.status in OPEN else at + SUM_HELD_AFTER


def _expected(payment: Payment) -> int:
    """What the payment's wallet still waits for, in qəpik."""
    return max(payment.sum - payment.received, 0) if payment.status in OPEN else 0
