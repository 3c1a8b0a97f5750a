"""Signatures, both schemes: contract sections 2 and 5. Secrets are arguments; nothing here reads a store.

`Signature` is keyed with the whole text of a secret, `webhook-signature` (Standard Webhooks) with the 32 bytes
that its base64 part stands for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum

PREFIX = "whsec_"
SECRET_BYTES = 32

_HEX_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")


class SecretKind(StrEnum):
    """The two secrets of a merchant."""

    PAYMENT = "payment"
    BALANCE = "balance"


def new_secret() -> str:
    """A fresh secret: `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_secret(text: str) -> str:
    """The secret itself, if it has the form of section 2; else ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or len(key) != SECRET_BYTES:
        raise ValueError(f"a secret is {PREFIX} followed by the base64 of {SECRET_BYTES} random bytes")
    return text


def sign(secret: str, message: bytes) -> str:
    """The value of a `Signature` header: lower-case hex of HMAC-SHA256 under the whole secret text."""
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


def verify(secret: str, message: bytes, signature: str) -> bool:
    """Whether `signature` is that of `message`. Constant time in the secret; letter case is ignored."""
    if not _HEX_DIGEST.fullmatch(signature):
        signature = "0" * 64  # never equal in practice, and the same work is done
    return hmac.compare_digest(sign(secret, message), signature.lower())


def standard_signature(keys: Iterable[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1,…` for each secret, separated by blanks. Seconds since 1970."""
    message = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    return " ".join(f"v1,{_standard_digest(secret, message)}" for secret in keys)


def _standard_digest(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
