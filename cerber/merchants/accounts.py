"""Merchants and their secrets: made, rotated, blocked (contract section 2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from cerber import identifiers, signing
from cerber.audit import trail
from cerber.config import MOST_OPEN
from cerber.context import now, vault
from cerber.db.engines import db
from cerber.db.transactions import reading, transaction
from cerber.errors import AlreadyExists, NotFound
from cerber.merchants import networks
from cerber.merchants.models import LONGEST_NAME, Gate, Merchant, MerchantSecret
from cerber.signing import SecretKind


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret, shown once, and until when the old one stays valid."""

    secret: str
    old_valid_until: datetime


@transaction
def add(merch_id: str, name: str, payment_secret: str, balance_secret: str, actor: str) -> None:
    """A new merchant. Raises AlreadyExists for its id or a secret that another holds, ValueError for a bad secret."""
    merchant = Merchant(merch_id=merch_id, name=_checked_name(name), created_at=now())
    db.session.add(merchant)
    try:
        db.session.flush()
        db.session.add(Gate(merchant_id=merchant.id))
        for kind, secret in ((SecretKind.PAYMENT, payment_secret), (SecretKind.BALANCE, balance_secret)):
            _store(merchant, kind, signing.check_secret(secret))
        db.session.flush()
    except IntegrityError:
        raise AlreadyExists(f"There is a merchant {merch_id} already, or a secret is in use.") from None
    trail.note(now(), actor, "merchant_added", merch_id=merch_id)


@transaction
def rotate(merch_id: str, kind: SecretKind, overlap: timedelta, actor: str) -> Rotation:
    """A new secret of a kind. The old one stays valid for `overlap`; one still older ends now. Raises NotFound."""
    merchant = _locked(merch_id)
    slots = (MerchantSecret.merchant_id == merchant.id, MerchantSecret.kind == kind)
    db.session.execute(delete(MerchantSecret).where(*slots, MerchantSecret.slot == 1))
    old = db.session.scalars(select(MerchantSecret).where(*slots)).one()
    old.slot, old.valid_until = 1, now() + overlap
    db.session.flush()
    secret = signing.new_secret()
    _store(merchant, kind, secret)
    merchant.version += 1
    trail.note(now(), actor, "secret_rotated", merch_id=merch_id, kind=kind, old_valid_until=str(old.valid_until))
    return Rotation(secret, old.valid_until)


@transaction
def set_blocked(merch_id: str, actor: str, *, blocked: bool) -> None:
    """Stops or lets in a merchant's requests; its open payments and webhooks go on. Raises NotFound."""
    merchant = _locked(merch_id)
    if blocked != (merchant.blocked_at is not None):
        merchant.blocked_at = now() if blocked else None
        merchant.version += 1
        trail.note(now(), actor, "merchant_blocked" if blocked else "merchant_unblocked", merch_id=merch_id)


@transaction
def require_v2(merch_id: str, actor: str, *, required: bool) -> None:
    """Refuses or lets in requests that `Signature` alone signs. Raises NotFound."""
    merchant = _locked(merch_id)
    if required != merchant.v2_only:
        merchant.v2_only = required
        merchant.version += 1
        trail.note(now(), actor, "merchant_v2_required" if required else "merchant_v2_optional", merch_id=merch_id)


@transaction
def set_networks(merch_id: str, given: Sequence[str], actor: str) -> None:
    """Lets a merchant's requests in from these networks alone; from anywhere where none is given.

    Raises NotFound, and ValueError for what is no network.
    """
    merchant, text = _locked(merch_id), networks.joined(given) or None
    if text != merchant.networks:
        merchant.networks = text
        merchant.version += 1
        trail.note(now(), actor, "merchant_networks", merch_id=merch_id, networks=text or "any")


@transaction
def rename(merch_id: str, name: str, actor: str) -> None:
    """Gives a merchant another name for people to read; its id stays. Raises NotFound and ValueError."""
    merchant = _locked(merch_id)
    was, merchant.name = merchant.name, _checked_name(name)
    if name != was:
        trail.note(now(), actor, "merchant_renamed", merch_id=merch_id, name=name, before=was)


@transaction
def limit_open(merch_id: str, most: int | None, actor: str) -> None:
    """How many payments of a merchant may be open: 0 for any number, None for what CERBER_OPEN_PAYMENTS says.

    Those that are open stay open. Raises NotFound, and ValueError for a number that is none.
    """
    if most is not None and not 0 <= most <= MOST_OPEN:
        raise ValueError(f"a merchant's open payments are limited to 1 to {MOST_OPEN}")
    merchant = _locked(merch_id)
    was, merchant.most_open = merchant.most_open, most
    if most != was:
        trail.note(now(), actor, "merchant_limited", merch_id=merch_id, open_payments=most, before=was)


@transaction
def note_first_use(merchant_pk: int, version: int, kind: SecretKind) -> None:
    """The merchant signs with what was its new secret at `version`: from now on its webhooks do too."""
    merchant = db.session.scalars(select(Merchant).filter_by(id=merchant_pk).with_for_update()).one()
    newest = db.session.scalars(select(MerchantSecret).filter_by(merchant_id=merchant_pk, kind=kind, slot=0)).one()
    if newest.first_used_at is None and merchant.version == version:
        newest.first_used_at = now()
        merchant.version += 1


def list_all() -> list[Merchant]:
    with reading() as session:
        return list(session.scalars(select(Merchant).order_by(Merchant.id)))


def find(merch_id: str) -> tuple[Merchant, Sequence[MerchantSecret]]:
    """A merchant with its secrets as they are kept, sealed. Raises NotFound."""
    with reading() as session:
        merchant = session.scalar(select(Merchant).filter_by(merch_id=merch_id))
        if merchant is None:
            raise _unknown(merch_id)
        own = select(MerchantSecret).filter_by(merchant_id=merchant.id)
        return merchant, session.scalars(own.order_by(MerchantSecret.kind, MerchantSecret.slot)).all()


def _locked(merch_id: str) -> Merchant:
    merchant = db.session.scalar(select(Merchant).filter_by(merch_id=merch_id).with_for_update())
    if merchant is None:
        raise _unknown(merch_id)
    return merchant


def _unknown(merch_id: str) -> NotFound:
    return NotFound(f"There is no merchant {merch_id}.")


def _checked_name(name: str) -> str:
    if len(identifiers.plain(name)) > LONGEST_NAME:
        raise ValueError(f"a merchant's name has at most {LONGEST_NAME} characters")
    return name


def _store(merchant: Merchant, kind: SecretKind, secret: str) -> None:
    fingerprint = hashlib.sha256(secret.encode()).hexdigest()
    row = MerchantSecret(
        merchant_id=merchant.id, kind=kind, sealed=vault().seal(secret), fingerprint=fingerprint, created_at=now()
    )
    db.session.add(row)
