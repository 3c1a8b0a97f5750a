"""Who asks: contract section 2. Every refusal is the same one, after the same work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request
from sqlalchemy import Select, select

from cerber.bot_api import schemas
from cerber.bot_api.body import Fields
from cerber.database import reading
from cerber.errors import WrongSignature
from cerber.models import Merchant, Payment
from cerber.payment_states import Status
from cerber.services import keyring
from cerber.services.keyring import Signer
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
    with reading() as session:
        row = session.execute(select(*_SIGNER).where(Merchant.merch_id == name)).first() if name else None
        signer = _signer(row.id, row.version, row.blocked_at) if row else None
        if not keyring.signed(session, signer, kind, sent.signed, sent.signature) or signer is None:
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
    with reading() as session:
        for row in session.execute(_payments(payment_id)).all() if payment_id else ():
            signer = _signer(row.merchant_id, row.version, row.blocked_at)
            if keyring.signed(session, signer, SecretKind.PAYMENT, sent.signed, sent.signature):
                return _found(row)
        if keyring.find_signer(session, SecretKind.PAYMENT, sent.signed, sent.signature) is None:
            raise _refused()
    return None


_SIGNER = (Merchant.id, Merchant.version, Merchant.blocked_at)
_PAYMENT = (Payment.id, Payment.status, Payment.due_at, Payment.merchant_id)
_MERCHANT = (Merchant.merch_id, Merchant.version, Merchant.blocked_at)


def _payments(payment_id: str | None) -> Select[*tuple[Any, ...]]:
    return select(*_PAYMENT, *_MERCHANT).join(Merchant).where(Payment.payment_id == payment_id)


def _of(merchant_pk: int, payment_id: str | None) -> Found | None:
    with reading() as session:
        row = session.execute(_payments(payment_id).where(Payment.merchant_id == merchant_pk)).first()
    return _found(row) if row else None


def _found(row: Any) -> Found:
    return Found(row.id, row.merch_id, Status(row.status), row.due_at)


def _signer(merchant_pk: int, version: int, blocked_at: datetime | None) -> Signer:
    return Signer(merchant_pk, version, blocked_at is not None)


def _refused() -> WrongSignature:
    return WrongSignature("The signature is missing or wrong, or the merchant may not ask.")
