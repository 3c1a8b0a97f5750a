"""Webhooks: whose they are, and what they tell. Always of the raw bytes, before anything parses them."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

from cerber_client import types
from cerber_client.errors import BadWebhook
from cerber_client.signing import check_secret, sign, standard_signature
from cerber_client.types import Event

TOLERANCE = 300  # seconds


def read_webhook(
    body: bytes, headers: Mapping[str, str], payment_secret: str, balance_secret: str = "", now: float | None = None
) -> Event:
    """The event that a genuine webhook tells. Raises BadWebhook: answer 400 then.

    Those about payments are signed with the payment secret, balances with the balance secret; one under the other's
    is refused.
    """
    _refuse_parsed(body)
    is_balance = b'"canceled_sum":' in body
    secret, name = (balance_secret, "balance_secret") if is_balance else (payment_secret, "payment_secret")
    if not secret:
        raise BadWebhook(f"a webhook for the {name}, which was not given")
    verify_webhook(body, headers, secret, now)
    try:
        return types.event(_header(headers, "webhook-id"), body.decode())
    except (ValueError, KeyError) as error:
        raise BadWebhook(f"not a webhook that is known: {error}") from None


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str, now: float | None = None) -> None:
    """By Standard Webhooks: unchanged, and sent within five minutes of `now` (Unix seconds). Raises BadWebhook."""
    _refuse_parsed(body)
    check_secret(secret, "the secret")
    webhook_id, timestamp = _header(headers, "webhook-id"), _header(headers, "webhook-timestamp")
    if not (webhook_id and timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise BadWebhook("the headers webhook-id and webhook-timestamp are missing or unreadable")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE:
        raise BadWebhook("sent too long ago, or one of the two clocks is wrong")
    good = standard_signature(secret, webhook_id, timestamp, body)
    sent = _header(headers, "webhook-signature").split(" ")  # two of them during a rotation
    if not any(_same(good, one) for one in sent):
        raise BadWebhook("the signature is wrong")


def verify_signature(body: bytes, headers: Mapping[str, str], secret: str) -> None:
    """By the published `Signature` alone, which is bound to no time and no webhook-id. Raises BadWebhook."""
    _refuse_parsed(body)
    if not _same(sign(check_secret(secret, "the secret"), body), _header(headers, "signature").lower()):
        raise BadWebhook("the signature is wrong")


def _same(good: str, sent: str) -> bool:
    return hmac.compare_digest(good.encode(), sent.encode("utf-8", "surrogateescape"))


def _header(headers: Mapping[str, str], name: str) -> str:
    """Whatever the letter case, and in a WSGI environ too."""
    spellings = (name, name.title(), "HTTP_" + name.upper().replace("-", "_"))
    for spelling in spellings:
        if spelling in headers:
            return headers[spelling]
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _refuse_parsed(body: bytes) -> None:
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError("give the raw bytes of the body, before anything parses it")
