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
from cerber.payments.wallet_choice import Taken
from cerber.wallets.models import OldLink, Wallet
from cerber.webhooks import endpoints
from cerber.webhooks.models import Endpoint

# Built once: building a statement costs more than SQLite takes to run it.
_INSERT = insert(Payment.__table__)  # type: ignore[arg-type]
_KNOWN = (
    select(Payment.id, Payment.status, Payment.due_at, Payment.sum, Payment.user_wallet, Payment.callback_url)
    .add_columns(Wallet.id.label("wallet_id"), Wallet.link, Wallet.image, Wallet.number)
    .add_columns(Payment.link_version, (Payment.link_version != Wallet.link_version).label("link_edited"))
    .add_columns(Merchant.version, Merchant.blocked_at, Merchant.most_open, Endpoint.id.label("endpoint"))
    .select_from(Merchant)
    .outerjoin(Payment, and_(Payment.merchant_id == Merchant.id, Payment.payment_id == bindparam("id")))
    .outerjoin(Wallet, Wallet.id == Payment.wallet_id)
    .outerjoin(Endpoint, and_(Endpoint.merchant_id == Merchant.id, Endpoint.origin == bindparam("origin")))
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


def known(merchant_pk: int, payment_id: str | None, callback_url: object) -> Any:
    """The merchant as it is now, with the payment that it has under this id and its wallet, NULLs where it has none,
    and with its endpoint of this URL. None where there is no such merchant."""
    asked = {"merchant": merchant_pk, "id": payment_id, "origin": _origin(callback_url)}
    with read_connection() as connection:
        return connection.execute(_KNOWN, asked).first()


def _origin(callback_url: object) -> str | None:
    """None for what is no URL: nothing is checked yet."""
    try:
        return endpoints.origin(callback_url) if isinstance(callback_url, str) else None
    except ValueError:
        return None


def open_payment(merchant_pk: int, opening: Opening, found: Any = None) -> Shown:
    """Opens a payment, or finds the open one that an equal request made before. `found` is what was `known` of it at
    the beginning of the request.

    Raises PaymentIdReused and PaymentClosed, then TooManyRequests, then NoWalletAvailable.
    """
    known = _find(merchant_pk, opening, found)
    if known.id is not None:
        return _same_open(known, opening)
    try:
        return _open_beside_others(merchant_pk, known, opening)
    except (IntegrityError, NoWalletAvailable, TooManyRequests):
        # an equal request was faster, and may have filled the wallet, or reached the merchant's cap
        known = _find(merchant_pk, opening)
        if known.id is None:
            raise
        return _same_open(known, opening)


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


def _find(merchant_pk: int, opening: Opening, found: Any = None) -> Any:
    """What is `known`, the payment expired if it was due."""
    found = found or known(merchant_pk, opening.payment_id, opening.callback_url)
    if found.id is not None and is_due(Status(found.status), found.due_at, now()):
        expire(found.id)
        found = known(merchant_pk, opening.payment_id, opening.callback_url)
    return found


def _open_beside_others(merchant_pk: int, known: Any, opening: Opening) -> Shown:
    try:
        return _open(merchant_pk, known, opening, alone=known.endpoint is None)
    except NearCap:
        return _open(merchant_pk, known, opening, alone=True)


@transaction
def _open(merchant_pk: int, known: Any, opening: Opening, *, alone: bool) -> Shown:
    holdings.admit(merchant_pk, known.most_open, opening.sum, alone=alone)
    if known.endpoint is None:
        endpoints.admit(merchant_pk, opening.callback_url, now())
    at = now()
    wallet = wallet_choice.take(opening.sum)
    if known.endpoint is None:
        endpoints.enter(merchant_pk, opening.callback_url, at)
    row = _row_of(merchant_pk, opening, wallet, at)
    entries.enter_opening(db.session.connection().execute(_INSERT, row).lastrowid, row)
    return Shown(opening.payment_id, wallet.link, wallet.image, wallet.number)


def _row_of(merchant_pk: int, opening: Opening, wallet: Taken, at: datetime) -> dict[str, Any]:
    ttl = settings().payment_ttl
    due_at = at + timedelta(seconds=ttl) if ttl else None
    return {
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
