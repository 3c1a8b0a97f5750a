"""Opening a payment: get_wallet's use case (contract section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import read_connection, transaction
from cerber.errors import NoWalletAvailable, PaymentClosed, PaymentIdReused, TooManyRequests
from cerber.merchants.models import Merchant
from cerber.payments import entries, holdings, wallet_choice
from cerber.payments.changes import FOREVER, SUM_HELD_AFTER
from cerber.payments.expiry import expire
from cerber.payments.holdings import NearCap
from cerber.payments.models import Payment
from cerber.payments.states import OPEN, Status, is_due
from cerber.wallets.models import OldLink, Wallet

# Built once: building a statement costs more than SQLite takes to run it.
_INSERT = insert(Payment.__table__)  # type: ignore[arg-type]
_KNOWN = (
    select(Payment.id, Payment.status, Payment.due_at, Payment.sum, Payment.user_wallet, Payment.callback_url)
    .add_columns(Wallet.id.label("wallet_id"), Wallet.link, Wallet.image, Wallet.number, Merchant.most_open)
    .add_columns(Payment.link_version, (Payment.link_version != Wallet.link_version).label("link_edited"))
    .select_from(Merchant)
    .outerjoin(Payment, and_(Payment.merchant_id == Merchant.id, Payment.payment_id == bindparam("id")))
    .outerjoin(Wallet, Wallet.id == Payment.wallet_id)
    .where(Merchant.id == bindparam("merchant"))
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

    Raises PaymentIdReused and PaymentClosed, then TooManyRequests, then NoWalletAvailable.
    """
    found = _find(merchant_pk, opening.payment_id)
    if found.id is not None:
        return _same_open(found, opening)
    try:
        return _open_beside_others(merchant_pk, found.most_open, opening)
    except (IntegrityError, NoWalletAvailable, TooManyRequests):
        # an equal request was faster, and may have filled the wallet, or reached the merchant's cap
        found = _find(merchant_pk, opening.payment_id)
        if found.id is None:
            raise
        return _same_open(found, opening)


def _same_open(payment: Any, opening: Opening) -> Shown:
    """The open payment that an equal request made."""
    asked = (opening.sum, opening.user_wallet, opening.callback_url)
    if (payment.sum, payment.user_wallet, payment.callback_url) != asked:
        raise PaymentIdReused("This payment_id belongs to a payment with other data.", payment.status)
    if payment.status not in OPEN:
        raise PaymentClosed("This payment is closed. Use a new payment_id.", payment.status)
    link, image = (payment.link, payment.image) if not payment.link_edited else _first_shown(payment)
    return Shown(opening.payment_id, link, image, payment.number)


def _first_shown(payment: Any) -> tuple[str, str]:
    """The link and its picture as they were when the payment was opened: the answer stays the same."""
    old = select(OldLink.link, OldLink.image).filter_by(wallet_id=payment.wallet_id, version=payment.link_version)
    with read_connection() as connection:
        link, image = connection.execute(old).one()
    return link, image


def _find(merchant_pk: int, payment_id: str) -> Any:
    """The merchant's payment of this id, expired if it was due. Without one, its own limit in a row of NULLs."""
    found = _row(merchant_pk, payment_id)
    if found.id is not None and is_due(Status(found.status), found.due_at, now()):
        expire(found.id)
        found = _row(merchant_pk, payment_id)
    return found


def _row(merchant_pk: int, payment_id: str) -> Any:
    with read_connection() as connection:
        return connection.execute(_KNOWN, {"merchant": merchant_pk, "id": payment_id}).one()


def _open_beside_others(merchant_pk: int, own_limit: int | None, opening: Opening) -> Shown:
    try:
        return _open(merchant_pk, own_limit, opening, alone=False)
    except NearCap:
        return _open(merchant_pk, own_limit, opening, alone=True)


@transaction
def _open(merchant_pk: int, own_limit: int | None, opening: Opening, *, alone: bool) -> Shown:
    holdings.admit(merchant_pk, own_limit, opening.sum, alone=alone)
    at = now()
    wallet = wallet_choice.take(opening.sum)
    ttl = settings().payment_ttl
    due_at = at + timedelta(seconds=ttl) if ttl else None
    row = {
        "merchant_id": merchant_pk,
        "payment_id": opening.payment_id,
        "wallet_id": wallet.pk,
        "link_version": wallet.link_version,
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
