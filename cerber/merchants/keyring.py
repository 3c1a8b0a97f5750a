"""A merchant's secrets, opened, and which of them sign a webhook (contract sections 2 and 5).

Opened secrets are kept in this process by merchant and version. Whoever uses them has read the version with what it
needs anyway, so a rotation holds in every process from its next request on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from cryptography.fernet import InvalidToken
from flask import current_app
from sqlalchemy import select

from cerber import signing
from cerber.context import vault
from cerber.db.transactions import read_connection
from cerber.errors import Unavailable
from cerber.merchants.models import MerchantSecret
from cerber.signing import SecretKind

log = logging.getLogger(__name__)
AT_ONCE = 500  # merchants named in one statement; with more of them the whole table is read
_SECRETS = select(
    MerchantSecret.merchant_id,
    MerchantSecret.kind,
    MerchantSecret.sealed,
    MerchantSecret.valid_until,
    MerchantSecret.first_used_at,
).order_by(MerchantSecret.kind, MerchantSecret.slot)


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


Keys: TypeAlias = tuple[Key, ...]


def valid(keys: Keys, kind: SecretKind, at: datetime) -> list[Key]:
    """Of a kind: the current secret first and, while the overlap lasts, the one before it."""
    return [key for key in keys if key.kind == kind and (key.old_until is None or key.old_until > at)]


def rotating(keys: list[Key]) -> bool:
    """Whether the new one of these valid secrets has not been used yet, and the old one still stands in for it."""
    return len(keys) == 2 and not keys[0].used


def webhook_headers(ring: Keys, kind: SecretKind, event_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The signatures of one attempt: contract section 5. Raises Unavailable where no secret opens. Any thread may."""
    keys = valid(ring, kind, at)
    if not keys:
        raise Unavailable("The merchant's secret can't be opened: is a key missing from CERBER_ENCRYPTION_KEYS?")
    timestamp = int(at.timestamp())
    signers = [key.secret for key in (keys if rotating(keys) else keys[:1])]
    return {
        "Signature": signing.sign(signers[-1], body),
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.standard_signature(signers, event_id, timestamp, body),
    }


def opened(merchants: Collection[int]) -> dict[int, Keys]:
    """The secrets of these merchants, each one's newest first. One that can't be opened is left out."""
    keys: dict[int, list[Key]] = {pk: [] for pk in merchants}
    found = _SECRETS.where(MerchantSecret.merchant_id.in_(merchants)) if len(merchants) <= AT_ONCE else _SECRETS
    if merchants:
        with read_connection() as connection:
            for row in connection.execute(found):
                if row.merchant_id in keys:
                    keys[row.merchant_id] += _opened(row)
    return {pk: tuple(own) for pk, own in keys.items()}


def ring_of(signer: Signer) -> Keys:
    """The secrets of a merchant, kept until its version changes."""
    cache: dict[int, tuple[int, Keys]] = current_app.extensions.setdefault("cerber_keyring", {})
    version, keys = cache.get(signer.id, (0, ()))
    if version != signer.version:
        keys = opened([signer.id])[signer.id]
        cache[signer.id] = (signer.version, keys)
    return keys


def _opened(row: Any) -> list[Key]:
    try:
        return [Key(row.kind, vault().open(row.sealed), row.valid_until, row.first_used_at is not None)]
    except InvalidToken:  # one merchant's trouble, and not that of all whose signature is looked for
        log.error("A secret of merchant %d can't be opened: a key is missing", row.merchant_id)
        return []
