"""Who asks: contract section 2. Every refusal is the same one, after the same work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request
from sqlalchemy import and_, bindparam, select

from cerber import signing
from cerber.bot_api import limits, schemas
from cerber.bot_api.body import Fields
from cerber.bot_api.limits import Call
from cerber.context import now
from cerber.db.transactions import read_connection
from cerber.merchants import accounts, verification
from cerber.merchants.models import Merchant
from cerber.merchants.ring import Match, Proof, Ring
from cerber.payments import opening
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


def merchant(fields: Fields, kind: SecretKind, call: Call) -> int:
    """The key of the merchant that `merch_id` names and that signed. Raises WrongSignature and TooManyRequests."""
    name, proof = schemas.usable(fields, "merch_id"), _proof()
    found = verification.verified(lambda ring: ring.named(name, kind, proof, now()), _merchant)
    return _accepted(found, kind, call, proof)[0].entry.id


def opener(fields: Fields) -> tuple[int, Any]:
    """The key of the merchant that asks for a wallet, and what is `opening.known` of the payment that it names.

    Raises WrongSignature and TooManyRequests.
    """
    name, payment_id, proof = schemas.usable(fields, "merch_id"), schemas.usable(fields, "payment_id"), _proof()
    found = verification.verified(
        lambda ring: ring.named(name, SecretKind.PAYMENT, proof, now()),
        lambda merchant_pk: opening.known(merchant_pk, payment_id, fields.values.get("callback_url")),
    )
    match, known = _accepted(found, SecretKind.PAYMENT, Call.OPENING, proof)
    return match.entry.id, known


def payment(fields: Fields, call: Call) -> Found | None:
    """The payment of `payment_id`, if the merchant who signed with its payment secret has that one.

    Raises WrongSignature and TooManyRequests.
    """
    payment_id, name, proof = schemas.usable(fields, "payment_id"), schemas.usable(fields, "merch_id"), _proof()

    def find(ring: Ring) -> Match | None:
        if name is None:  # an unusable one is told after the signature
            return ring.anyone(proof, now())
        return ring.named(name, SecretKind.PAYMENT, proof, now())

    found = verification.verified(find, lambda merchant_pk: _payment(merchant_pk, payment_id))
    match, row = _accepted(found, SecretKind.PAYMENT, call, proof)
    return None if row.id is None else Found(row.id, match.entry.merch_id, Status(row.status), row.due_at)


# Built once: building a statement costs more than SQLite takes to run it.
_MERCHANT = select(Merchant.version, Merchant.blocked_at).where(Merchant.id == bindparam("merchant_pk"))
_OF_MERCHANT = and_(Payment.merchant_id == Merchant.id, Payment.payment_id == bindparam("payment_id"))
_PAYMENT = _MERCHANT.add_columns(Payment.id, Payment.status, Payment.due_at).outerjoin(Payment, _OF_MERCHANT)


def _merchant(merchant_pk: int) -> Any | None:
    with read_connection() as connection:
        return connection.execute(_MERCHANT, {"merchant_pk": merchant_pk}).first()


def _payment(merchant_pk: int, payment_id: str | None) -> Any | None:
    with read_connection() as connection:
        return connection.execute(_PAYMENT, {"merchant_pk": merchant_pk, "payment_id": payment_id}).first()


def _accepted(found: tuple[Match, Any] | None, kind: SecretKind, call: Call, proof: Proof) -> tuple[Match, Any]:
    if found is None:
        raise limits.refusal(proof.address)
    entry = found[0].entry
    limits.spend(entry.id, call)
    if found[0].first_use:
        accounts.note_first_use(entry.id, entry.version, kind)
    return found


def _proof() -> Proof:
    """The raw body, or without one the raw query string as it was sent, and what signs it: V2 alone where it came."""
    body, query = request.get_data(), request.environ.get("QUERY_STRING", "").encode("latin-1")
    message, address = body or query, request.remote_addr or ""
    sent = request.headers.get("Signature-V2")
    if sent is None:
        signature = "" if signing.is_message_v2(message) else request.headers.get("Signature", "")
        return Proof(message, signing.read_signature(signature), is_v2=False, address=address)
    timestamp, digest = signing.read_signature_v2(sent, now().timestamp())
    path = str(request.url_rule)  # with its last slash, whatever was asked
    return Proof(signing.message_v2(request.method, path, timestamp, message), digest, is_v2=True, address=address)
