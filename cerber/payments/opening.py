"""Opening a payment: get_wallet's use case (contract section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import read_connection, transaction
from cerber.errors import NoWalletAvailable, PaymentClosed, PaymentIdReused
from cerber.payments import entries, wallet_choice
from cerber.payments.changes import FOREVER, SUM_HELD_AFTER
from cerber.payments.expiry import expire
from cerber.payments.models import Payment
from cerber.payments.states import OPEN, Status, is_due
from cerber.wallets.models import Wallet

# Built once: building a statement costs more than SQLite takes to run it.
_INSERT = insert(Payment.__table__)  # type: ignore[arg-type]
_KNOWN = (
    select(Payment.id, Payment.status, Payment.due_at, Payment.sum, Payment.user_wallet, Payment.callback_url)
    .add_columns(Wallet.link, Wallet.image, Wallet.number)
    .join(Wallet, Wallet.id == Payment.wallet_id)
    .where(Payment.merchant_id == bindparam("merchant"), Payment.payment_id == bindparam("id"))
)


@dataclass(frozen=True, slots=True)
class Opening:
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


def open_payment(merchant_pk: int, opening: Opening) -> Shown:
    """Opens a payment, or finds the open one that an equal request made before.

    Raises PaymentIdReused, PaymentClosed and NoWalletAvailable.
    """
    if (shown := _same_open(merchant_pk, opening)) is not None:
        return shown
    try:
        return _open(merchant_pk, opening)
    except (IntegrityError, NoWalletAvailable):
        # an equal request was faster, and may have filled the wallet
        if (shown := _same_open(merchant_pk, opening)) is None:
            raise
        return shown


def _same_open(merchant_pk: int, opening: Opening) -> Shown | None:
    """The open payment that an equal request made, or None where the id is new."""
    payment = _find(merchant_pk, opening.payment_id)
    if payment is not None and is_due(Status(payment.status), payment.due_at, now()):
        expire(payment.id)
        payment = _find(merchant_pk, opening.payment_id)
    if payment is None:
        return None
    asked = (opening.sum, opening.user_wallet, opening.callback_url)
    if (payment.sum, payment.user_wallet, payment.callback_url) != asked:
        raise PaymentIdReused("This payment_id belongs to a payment with other data.", payment.status)
    if payment.status not in OPEN:
        raise PaymentClosed("This payment is closed. Use a new payment_id.", payment.status)
    return Shown(opening.payment_id, payment.link, payment.image, payment.number)


def _find(merchant_pk: int, payment_id: str) -> Any:
    with read_connection() as connection:
        return connection.execute(_KNOWN, {"merchant": merchant_pk, "id": payment_id}).first()


@transaction
def _open(merchant_pk: int, opening: Opening) -> Shown:
    at = now()
    wallet = wallet_choice.take(opening.sum)
    ttl = settings().payment_ttl
    due_at = at + timedelta(seconds=ttl) if ttl else None
    row = {
        "merchant_id": merchant_pk,
        "payment_id": opening.payment_id,
        "wallet_id": wallet.pk,
        "user_wallet": opening.user_wallet,
        "sum": opening.sum,
        "status": Status.PENDING.value,
        "callback_url": opening.callback_url,
        "create_time": opening.create_time or at,
        "create_time_text": opening.create_time_text,
        "create_time_read": opening.create_time is not None,
        "opened_at": at,
        "due_at": due_at,
        "holds_sum_until": due_at + SUM_HELD_AFTER if due_at else FOREVER,
        "received": 0,
        "version": 1,
    }
    entries.enter_opening(db.session.connection().execute(_INSERT, row).lastrowid, row)
    return Shown(opening.payment_id, wallet.link, wallet.image, wallet.number)
