"""Who asks: contract section 2. Every refusal is the same one, after the same work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request
from sqlalchemy import bindparam, select

from cerber.bot_api import schemas
from cerber.bot_api.body import Fields
from cerber.db.transactions import read_connection
from cerber.errors import WrongSignature
from cerber.merchants import keyring
from cerber.merchants.keyring import Signer
from cerber.merchants.models import Merchant
from cerber.payments.models import Payment
from cerber.payments.states import Status
from cerber.signing import SecretKind


@dataclass(frozen=True, slots=True)
class Found:
    """A payment of the merchant who signed."""

    id: int
    merch_id: str
    status: Status
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """What was signed, and the signature that came with it."""

    signed: bytes
    signature: str


def message() -> Message:
    """The raw body, or without one the raw query string as it was sent."""
    body = request.get_data()
    query = request.environ.get("QUERY_STRING", "").encode("latin-1")
    return Message(body or query, request.headers.get("Signature", ""))


def merchant(fields: Fields, kind: SecretKind) -> int:
    """The key of the merchant that `merch_id` names and that signed. Raises WrongSignature."""
    name = schemas.usable(fields, "merch_id")
    sent = message()
    with read_connection() as connection:
        row = connection.execute(_SIGNER, {"merch_id": name}).first() if name else None
    signer = _signer(row.id, row.version, row.blocked_at) if row else None
    if not keyring.signed(signer, kind, sent.signed, sent.signature) or signer is None:
        raise _refused()
    return signer.id


def payment(fields: Fields) -> Found | None:
    """The payment of `payment_id`, if the merchant who signed with its payment secret has that one.

    Raises WrongSignature.
    """
    payment_id = schemas.usable(fields, "payment_id")
    if "merch_id" in fields.values and schemas.usable(fields, "merch_id") is not None:
        return _of(merchant(fields, SecretKind.PAYMENT), payment_id)
    sent = message()
    for row in _payments(payment_id):
        signer = _signer(row.merchant_id, row.version, row.blocked_at)
        if keyring.signed(signer, SecretKind.PAYMENT, sent.signed, sent.signature):
            return _found(row)
    if keyring.find_signer(SecretKind.PAYMENT, sent.signed, sent.signature) is None:
        raise _refused()
    return None


# Built once: building a statement costs more than SQLite takes to run it.
_SIGNER = select(Merchant.id, Merchant.version, Merchant.blocked_at).where(Merchant.merch_id == bindparam("merch_id"))
_PAYMENT = (Payment.id, Payment.status, Payment.due_at, Payment.merchant_id)
_MERCHANT = (Merchant.merch_id, Merchant.version, Merchant.blocked_at)
_PAYMENTS = select(*_PAYMENT, *_MERCHANT).join(Merchant).where(Payment.payment_id == bindparam("payment_id"))
_OWN_PAYMENT = _PAYMENTS.where(Payment.merchant_id == bindparam("merchant_pk"))


def _payments(payment_id: str | None) -> Sequence[Any]:
    """The payments with this id, of whichever merchants."""
    if payment_id is None:
        return ()
    with read_connection() as connection:
        return connection.execute(_PAYMENTS, {"payment_id": payment_id}).all()


def _of(merchant_pk: int, payment_id: str | None) -> Found | None:
    with read_connection() as connection:
        row = connection.execute(_OWN_PAYMENT, {"payment_id": payment_id, "merchant_pk": merchant_pk}).first()
    return _found(row) if row else None


def _found(row: Any) -> Found:
    return Found(row.id, row.merch_id, Status(row.status), row.due_at)


def _signer(merchant_pk: int, version: int, blocked_at: datetime | None) -> Signer:
    return Signer(merchant_pk, version, blocked_at is not None)


def _refused() -> WrongSignature:
    return WrongSignature("The signature is missing or wrong, or the merchant may not ask.")
