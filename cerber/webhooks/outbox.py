"""The outbox: events are put in by the transaction that makes them, with their final bytes. `claims` empties it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import transaction
from cerber.merchants import allowance, gates
from cerber.webhooks import bodies, endpoints
from cerber.webhooks.kinds import Kind, WebhookState
from cerber.webhooks.models import Webhook

REPEAT_BALANCE = timedelta(seconds=60)

# Built once, and no business of the ORM's, which takes several times as long.
_INSERT = insert(Webhook.__table__)  # type: ignore[arg-type]


class PaymentTold(Protocol):
    """The payment that an event is about. Sums in qəpik."""

    id: Any
    merchant_id: Any
    payment_id: Any
    sum: Any
    received: Any
    callback_url: Any


def enqueue(payment: PaymentTold, kind: Kind, at: datetime) -> None:
    """Puts an event about a payment into the caller's transaction. Its body is fixed here."""
    body = bodies.webhook_body(kind, payment.payment_id, payment.received, payment.sum)
    endpoint = endpoints.find(payment.merchant_id, payment.callback_url)
    _put(payment.merchant_id, endpoint, payment.id, kind, payment.callback_url, body, at)


def enqueue_balance(merchant_pk: int, url: str, body: str, once_key: str) -> None:
    """Sends a balance to a URL, but not twice within 60 s for the same key, and no more than are left for this hour.

    Raises TooManyRequests for one endpoint too many.
    """
    if not allowance.is_used_up(merchant_pk, now()):
        _enqueue_balance(merchant_pk, url, body, once_key)


@transaction
def _enqueue_balance(merchant_pk: int, url: str, body: str, once_key: str) -> None:
    endpoint = endpoints.find(merchant_pk, url)
    if endpoint is None:
        gates.hold(merchant_pk, alone=True)
        endpoints.admit(merchant_pk, url, now())
    at = now()
    stale = (Webhook.once_key == once_key, Webhook.created_at <= at - REPEAT_BALANCE)
    db.session.execute(update(Webhook).where(*stale).values(once_key=None))
    if db.session.scalar(select(Webhook.id).filter_by(once_key=once_key)) is not None:
        return
    if not allowance.spend(merchant_pk, at):
        return
    with suppress(IntegrityError), db.session.begin_nested():  # an equal request was faster
        _put(merchant_pk, endpoint, None, Kind.BALANCE, url, body, at, once_key)


def _put(
    merchant_pk: int,
    endpoint_pk: int | None,
    payment_pk: int | None,
    kind: Kind,
    url: str,
    body: str,
    at: datetime,
    once_key: str | None = None,
) -> None:
    polled = endpoints.is_polled(url)
    row = {
        "event_id": f"evt_{secrets.token_hex(13)}",
        "merchant_id": merchant_pk,
        "endpoint_id": endpoint_pk or endpoints.enter(merchant_pk, url, at),
        "payment_id": payment_pk,
        "kind": kind,
        "url": url,
        "body": body,
        "state": WebhookState.DELIVERED if polled else WebhookState.DUE,
        "due_at": at + timedelta(seconds=settings().retry_schedule[0]),
        "scheduled_at": at,
        "queued_at": at,
        "once_key": once_key,
        "created_at": at,
        "closed_at": at if polled else None,
    }
    db.session.connection().execute(_INSERT, row)
