"""The gateway's three signatures. A secret is the whole text `whsec_…`, never decoded first."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


def sign(secret: str, message: bytes) -> str:
    """`Signature`: of a request's raw body or query string, and of a webhook's body."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def sign_v2(secret: str, method: str, path: str, seconds: int, message: bytes) -> str:
    """`Signature-V2`: of the call (`POST`, `/bot_api/get_wallet/`) and the Unix time as well."""
    made = sign(secret, f"{method}\n{path}\n{seconds}\n".encode() + message)
    return f"t={seconds},v2={made}"


def standard_signature(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    """One of those in `webhook-signature`, by Standard Webhooks: here the key is what the secret decodes to."""
    message = f"{webhook_id}.{timestamp}.".encode() + body
    made = hmac.new(_key(secret), message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(made).decode()


def check_secret(secret: str, name: str) -> str:
    """The secret, if it has the form that was given out. Raises ValueError, without showing it."""
    try:
        good = secret.startswith(_PREFIX) and len(_key(secret)) == 32
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise ValueError(f"{name} must be the whole text that was given out, {_PREFIX} included")
    return secret


def _key(secret: str) -> bytes:
    return base64.b64decode(secret[len(_PREFIX) :], validate=True)
