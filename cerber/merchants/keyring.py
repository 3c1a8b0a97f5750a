"""Who signed a request, and which secrets sign a webhook (contract section 2).

Opened secrets are kept in this process by merchant and version. Each request reads the version with what it needs
anyway, so a rotation or a block holds in every process from its next request on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from cryptography.fernet import InvalidToken
from flask import current_app
from sqlalchemy import select

from cerber import signing
from cerber.context import now, vault
from cerber.db.transactions import read_connection, reading
from cerber.errors import Unavailable
from cerber.merchants import accounts
from cerber.merchants.models import Merchant, MerchantSecret
from cerber.signing import SecretKind

log = logging.getLogger(__name__)
_NOBODY = signing.new_secret()  # what a signature is checked against where there is no secret: the same work
_MERCHANTS = select(Merchant.id, Merchant.version, Merchant.blocked_at)


@dataclass(frozen=True, slots=True)
class Key:
    """One secret of a merchant, opened. `old_until` is set on the one before the current one."""

    kind: str
    secret: str
    old_until: datetime | None
    used: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """A merchant as the database has it now."""

    id: int
    version: int
    blocked: bool


def signed(signer: Signer | None, kind: SecretKind, message: bytes, signature: str) -> bool:
    """Whether this merchant may ask and signed `message`. Takes the same work for nobody, and for a blocked one."""
    keys = _valid(signer, kind) if signer else []
    texts = [key.secret for key in keys] + [_NOBODY] * (2 - len(keys))
    matches = [signing.verify(text, message, signature) for text in texts]
    if signer is None or signer.blocked or not any(matches[: len(keys)]):
        return False
    if matches[0] and len(keys) == 2 and not keys[0].used:
        accounts.note_first_use(signer.id, signer.version, kind)
    return True


def find_signer(kind: SecretKind, message: bytes, signature: str) -> Signer | None:
    """The merchant who signed, of all there are: for the calls that name none."""
    found = None
    with read_connection() as connection:
        rows = connection.execute(_MERCHANTS).all()
    for row in rows:
        signer = Signer(row.id, row.version, row.blocked_at is not None)
        if signed(signer, kind, message, signature):
            found = signer
    return found


def webhook_headers(signer: Signer, kind: SecretKind, event_id: str, body: bytes) -> dict[str, str]:
    """The signatures of one attempt, made now: contract section 5. Raises Unavailable where no secret opens."""
    keys = _valid(signer, kind)
    if not keys:
        raise Unavailable("The merchant's secret can't be opened: is a key missing from CERBER_ENCRYPTION_KEYS?")
    rotating = len(keys) == 2 and not keys[0].used
    timestamp = int(now().timestamp())
    signers = [key.secret for key in (keys if rotating else keys[:1])]
    return {
        "Signature": signing.sign(signers[-1], body),
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.standard_signature(signers, event_id, timestamp, body),
    }


def _valid(signer: Signer, kind: SecretKind) -> list[Key]:
    """The current secret and, while the overlap lasts, the one before it."""
    at = now()
    keys = _keys(signer)
    return [key for key in keys if key.kind == kind and (key.old_until is None or key.old_until > at)]


def _keys(signer: Signer) -> tuple[Key, ...]:
    cache: dict[int, tuple[int, tuple[Key, ...]]] = current_app.extensions.setdefault("cerber_keyring", {})
    version, keys = cache.get(signer.id, (0, ()))
    if version != signer.version:
        keys = _open(signer.id)
        cache[signer.id] = (signer.version, keys)
    return keys


def _open(merchant_pk: int) -> tuple[Key, ...]:
    found = select(MerchantSecret).filter_by(merchant_id=merchant_pk)
    with reading() as session:
        rows = session.scalars(found.order_by(MerchantSecret.kind, MerchantSecret.slot)).all()
    keys = []
    for row in rows:
        try:
            keys.append(Key(row.kind, vault().open(row.sealed), row.valid_until, row.first_used_at is not None))
        except InvalidToken:  # one merchant's trouble, and not that of all whose signature is looked for
            log.error("A secret of merchant %d can't be opened: a key is missing", merchant_pk)
    return tuple(keys)
