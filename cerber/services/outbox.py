"""The outbox: events are put in by the transaction that makes them, claimed under a lease, and recorded.

A claim moves `due_at` to the end of its lease, so that a dead worker's events come free by themselves. A record
counts only while its lease is the event's own: one that comes too late changes nothing but the log.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Select, and_, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from cerber import retry, wire
from cerber.callback_urls import parse_callback_url
from cerber.context import now, settings
from cerber.database import db, transaction
from cerber.errors import NotFound
from cerber.models import Endpoint, Payment, Webhook, WebhookAttempt
from cerber.payment_states import Kind
from cerber.services import audit

_NO_SYNC = {"synchronize_session": False}  # no row of it is loaded, and on MySQL it would cost a SELECT
LEASE = timedelta(seconds=28)  # longer than the longest attempt (15 s), free again within 30 s
REPEAT_BALANCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that this worker may send until `lease_ends`."""

    id: int
    lease: str
    lease_ends: datetime
    event_id: str
    kind: str
    url: str
    body: str
    attempts: int
    merchant_id: int
    endpoint_id: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `failure` is None where it was delivered; `milliseconds` is how long it took."""

    claim: Claim
    at: datetime
    milliseconds: int
    status: int | None
    failure: str | None
    detail: str
    answer: bytes
    retry_after: str | None


def enqueue(payment: Payment, kind: Kind, at: datetime) -> None:
    """Puts an event about a payment into the caller's transaction. Its body is fixed here."""
    body = wire.webhook_body(kind, payment.payment_id, payment.received, payment.sum)
    _put(payment.merchant_id, payment.id, kind, payment.callback_url, body, at)


@transaction
def enqueue_balance(merchant_pk: int, url: str, body: str, once_key: str) -> bool:
    """Sends a balance to a URL, but not twice within 60 s for the same key. Whether it will be sent."""
    at = now()
    stale = (Webhook.once_key == once_key, Webhook.created_at <= at - REPEAT_BALANCE)
    db.session.execute(update(Webhook).where(*stale).values(once_key=None))
    if db.session.scalar(select(Webhook.id).filter_by(once_key=once_key)) is not None:
        return False
    try:
        with db.session.begin_nested():
            _put(merchant_pk, None, Kind.BALANCE, url, body, at, once_key)
    except IntegrityError:  # an equal request was faster
        return False
    return True


@transaction
def claim(room: int) -> list[Claim]:
    """Claims up to `room` events that are due and that wait for no earlier one of their payment."""
    at = now()
    rows = db.session.execute(_claimable(at).limit(room).with_for_update(skip_locked=True)).all()
    if not rows:
        return []
    lease = secrets.token_hex(16)
    guard = and_(Webhook.id.in_([row.id for row in rows]), Webhook.state == "due", Webhook.due_at <= at)
    values = {"due_at": at + LEASE, "scheduled_at": at, "lease": lease}
    claimed = db.session.execute(update(Webhook).where(guard).values(values), execution_options=_NO_SYNC)
    if cast(CursorResult[Any], claimed).rowcount != len(rows):  # a server without SKIP LOCKED: some went elsewhere
        ours = set(db.session.scalars(select(Webhook.id).filter_by(lease=lease, state="due")))
        rows = [row for row in rows if row.id in ours]
    return [_claim(row, lease, at + LEASE) for row in rows]


@transaction
def record(outcomes: Sequence[Outcome]) -> None:
    """Writes down what came of attempts: delivered, to be tried again, or given up."""
    delivered: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.failure is None:
            delivered.setdefault(outcome.claim.lease, []).append(outcome.claim.id)
        else:
            _set_held(outcome.claim.lease, [outcome.claim.id], _after_failure(outcome))
    for lease, ids in delivered.items():
        _set_held(lease, ids, {"state": "delivered", "closed_at": now()})
    db.session.execute(insert(WebhookAttempt), [_attempt(outcome) for outcome in outcomes])


@transaction
def resend(webhook_pk: int, actor: str) -> Webhook:
    """Sends an event again: same bytes, same id, new attempts, at once. One under way stays so. Raises NotFound."""
    webhook = db.session.scalar(select(Webhook).filter_by(id=webhook_pk).with_for_update())
    if webhook is None:
        raise NotFound("There is no such webhook.")
    webhook.state, webhook.closed_at = "due", None
    webhook.due_at = webhook.scheduled_at = webhook.queued_at = now()
    webhook.lease, webhook.attempts, webhook.by_hand = None, 0, True
    audit.note(now(), actor, "webhook_resent", webhook.payment_id, event_id=webhook.event_id)
    return webhook


@dataclass(frozen=True, slots=True)
class Agenda:
    """When the next event and the next expiry are due, if any: all that an idle worker asks."""

    event: datetime | None
    expiry: datetime | None


_NEXT_EVENT = select(func.min(Webhook.due_at)).where(Webhook.state == "due").scalar_subquery()
_NEXT_EXPIRY = select(func.min(Payment.due_at)).where(Payment.status == "pending").scalar_subquery()
_AGENDA = select(_NEXT_EVENT, _NEXT_EXPIRY)


def agenda() -> Agenda:
    """One statement that reads two indexes at their ends."""
    with db.engines["reads"].connect() as connection:
        event, expiry = connection.execute(_AGENDA).one()
    return Agenda(event, expiry)


def _put(
    merchant_pk: int,
    payment_pk: int | None,
    kind: Kind,
    url: str,
    body: str,
    at: datetime,
    once_key: str | None = None,
) -> None:
    webhook = Webhook(
        event_id=f"evt_{secrets.token_hex(13)}",
        merchant_id=merchant_pk,
        endpoint_id=_endpoint(merchant_pk, url, at),
        payment_id=payment_pk,
        kind=kind.value,
        url=url,
        body=body,
        state="due",
        due_at=at + timedelta(seconds=settings().retry_schedule[0]),
        scheduled_at=at,
        queued_at=at,
        once_key=once_key,
        created_at=at,
    )
    db.session.add(webhook)
    db.session.flush()


def _endpoint(merchant_pk: int, url: str, at: datetime) -> int:
    origin = parse_callback_url(url, own_host=None, allow_private=True).origin
    find = select(Endpoint.id).filter_by(merchant_id=merchant_pk, origin=origin)
    if (found := db.session.scalar(find)) is not None:
        return found
    try:
        with db.session.begin_nested():
            endpoint = Endpoint(merchant_id=merchant_pk, origin=origin, created_at=at)
            db.session.add(endpoint)
    except IntegrityError:  # another process was faster
        return db.session.scalars(find).one()
    return endpoint.id


def _claimable(at: datetime) -> Select[Any]:
    earlier = aliased(Webhook)
    blocked = exists().where(
        earlier.payment_id == Webhook.payment_id,
        earlier.state == "due",
        earlier.by_hand.is_(False),
        earlier.id < Webhook.id,
    )
    return (
        select(Webhook)
        .with_only_columns(*(getattr(Webhook, name) for name in _CLAIMED), Webhook.due_at)
        .where(Webhook.state == "due", Webhook.due_at <= at, or_(Webhook.by_hand.is_(True), ~blocked))
        .order_by(Webhook.due_at, Webhook.id)
    )


_CLAIMED = ("id", "event_id", "kind", "url", "body", "attempts", "merchant_id", "endpoint_id")


def _claim(row: Any, lease: str, ends: datetime) -> Claim:
    return Claim(lease=lease, lease_ends=ends, **{name: getattr(row, name) for name in _CLAIMED})


def _set_held(lease: str, ids: list[int], values: dict[str, Any]) -> None:
    """Ends an attempt of those events that are still under this lease."""
    held = and_(Webhook.id.in_(ids), Webhook.lease == lease)
    ended = {"attempts": Webhook.attempts + 1, "lease": None} | values
    db.session.execute(update(Webhook).where(held).values(ended), execution_options=_NO_SYNC)


def _after_failure(outcome: Outcome) -> dict[str, Any]:
    at = now()
    again = retry.next_attempt(
        outcome.claim.attempts + 1,
        outcome.status,
        outcome.retry_after,
        at,
        schedule=settings().retry_schedule,
        chance=random.random(),  # noqa: S311 - it spreads retries, it guards nothing
    )
    return {"state": "given_up", "closed_at": at} if again is None else {"due_at": again}


def _attempt(outcome: Outcome) -> dict[str, Any]:
    return {
        "webhook_id": outcome.claim.id,
        "at": outcome.at,
        "milliseconds": outcome.milliseconds,
        "outcome": str(outcome.status or outcome.failure),
        "detail": outcome.detail[:200],
        "headers": "",
        "answer": outcome.answer.decode("utf-8", "replace").replace("\0", "\ufffd"),
    }
