"""What the pages show of webhooks and of the endpoints that they go to. Reads only.

Among a million delivered webhooks each query reads an index at one end, or as many rows as still wait or were given
up. What could be many is counted up to COUNTED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, Select, func, literal, select, union_all
from sqlalchemy.orm import Session

from cerber.db.paging import FIRST, Page, Start
from cerber.db.transactions import reading
from cerber.merchants.models import Merchant
from cerber.webhooks import listing
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import MOST_UNFORESEEN, PAYMENTS, Breaker, Endpoint, Webhook, WebhookAttempt

COUNTED = 1000
ATTEMPTS = 20
STATES = (WebhookState.DUE, WebhookState.GIVEN_UP)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are and when the oldest of them happened. With `more` there are more than were counted."""

    number: int
    more: bool
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class EndpointNow:
    """An endpoint and how it is. No breaker: it is well."""

    endpoint: Endpoint
    merchant: Merchant
    breaker: Breaker | None
    waiting: Count


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook, whose it is, and its last attempt. `payment_id` is the merchant's, None for a balance."""

    webhook: Webhook
    merch_id: str
    origin: str
    payment_id: str | None
    held_since: datetime | None
    last: WebhookAttempt | None


@dataclass(frozen=True, slots=True)
class Attempts:
    """The last attempts of one webhook, the newest first. With `more` there were more."""

    rows: Sequence[WebhookAttempt]
    more: bool


@dataclass(frozen=True, slots=True)
class Details:
    """One webhook with its attempts."""

    sent: Sent
    breaker: Breaker | None
    attempts: Attempts


def unforeseen(since: datetime) -> tuple[int, int]:
    """How many events wait that had an attempt which failed as nobody foresaw, and how many were given up for that
    since then."""
    failed = select(func.count()).where(Webhook.unforeseen > 0)
    given_up = failed.where(Webhook.state == WebhookState.GIVEN_UP, Webhook.due_at >= since)
    given_up = given_up.where(Webhook.unforeseen >= MOST_UNFORESEEN)
    with reading() as session:
        return session.scalar(failed.where(Webhook.state == WebhookState.DUE)) or 0, session.scalar(given_up) or 0


def held_count() -> int:
    """How many endpoints are held."""
    with reading() as session:
        return session.scalar(select(func.count()).where(Breaker.probe_at.is_not(None))) or 0


def endpoints(merchant: str = "", start: Start = FIRST) -> Page[EndpointNow]:
    """The held ones first, the longest held before the others; then those that fail; then all that are well."""
    with reading() as session:
        owner = _owner(session, merchant)
        page = listing.endpoints(session, start, owner) if owner or not merchant else Page([])
        rows = session.execute(_endpoints().where(Endpoint.id.in_(page.rows))).all() if page.rows else []
        by_key = {row[0].id: row for row in rows}
        return page.showing(_endpoints_now(session, [by_key[pk] for pk in page.rows if pk in by_key]))


def endpoint(pk: int) -> EndpointNow | None:
    with reading() as session:
        found = _endpoints_now(session, session.execute(_endpoints().where(Endpoint.id == pk)).all())
    return found[0] if found else None


def given_up(endpoint_pk: int) -> Count:
    """Of one endpoint."""
    with reading() as session:
        return _counted(session, [endpoint_pk], WebhookState.GIVEN_UP)[endpoint_pk]


def webhooks(
    state: WebhookState | None = None, merchant: str = "", endpoint_pk: int | None = None, start: Start = FIRST
) -> Page[Sent]:
    """The newest first; with one of STATES by when they were or are due, and of those that wait the next first."""
    with reading() as session:
        owner = _owner(session, merchant)
        page = listing.webhooks(session, start, state, owner, endpoint_pk) if owner or not merchant else Page([])
        return page.showing(_sent(session, page.rows) if page.rows else [])


def details(pk: int) -> Details | None:
    with reading() as session:
        found = _sent(session, [pk])
        if not found:
            return None
        breaker = session.get(Breaker, found[0].webhook.endpoint_id)
        return Details(found[0], breaker, attempts(session, pk))


def attempts(session: Session, webhook_pk: int) -> Attempts:
    """A held webhook may have been a probe thousands of times, so only the last ones are read."""
    query = select(WebhookAttempt).filter_by(webhook_id=webhook_pk).order_by(WebhookAttempt.id.desc())
    rows = session.scalars(query.limit(ATTEMPTS + 1)).all()
    return Attempts(rows[:ATTEMPTS], more=len(rows) > ATTEMPTS)


def _endpoints() -> Select[Endpoint, Merchant, Breaker]:
    return (
        select(Endpoint, Merchant, Breaker)
        .join(Merchant, Merchant.id == Endpoint.merchant_id)
        .outerjoin(Breaker, Breaker.endpoint_id == Endpoint.id)
    )


def _endpoints_now(session: Session, rows: Sequence[Row[Endpoint, Merchant, Breaker]]) -> list[EndpointNow]:
    waiting = _counted(session, [row[0].id for row in rows], WebhookState.DUE)
    return [EndpointNow(found, merchant, breaker, waiting[found.id]) for found, merchant, breaker in rows]


def _counted(session: Session, endpoints: Sequence[int], state: WebhookState) -> dict[int, Count]:
    """By endpoint. Reads an index only, but for the times of the oldest of those counted."""
    if not endpoints:
        return {}
    rows = session.execute(union_all(*(_count(pk, state) for pk in endpoints))).all()
    first = select(Webhook.id, Webhook.created_at).where(Webhook.id.in_([row.first for row in rows if row.number]))
    times = dict(session.execute(first).all())
    return {
        row.endpoint_id: Count(min(row.number, COUNTED), row.number > COUNTED, times.get(row.first)) for row in rows
    }


def _count(endpoint_pk: int, state: WebhookState) -> Select[int, int, int]:
    some = select(Webhook.id).filter_by(state=state, endpoint_id=endpoint_pk).order_by(Webhook.due_at)
    few = some.limit(COUNTED + 1).subquery()
    own = literal(endpoint_pk).label("endpoint_id")
    return select(own, func.count().label("number"), func.min(few.c.id).label("first"))


def _owner(session: Session, merchant: str) -> int | None:
    return session.scalar(select(Merchant.id).filter_by(merch_id=merchant)) if merchant else None


def _sent(session: Session, ids: Sequence[int]) -> list[Sent]:
    """In the order of the ids."""
    newest = (
        select(func.max(WebhookAttempt.id).label("id"))
        .where(WebhookAttempt.webhook_id.in_(ids))
        .group_by(WebhookAttempt.webhook_id)
        .subquery()
    )
    last = {
        attempt.webhook_id: attempt
        for attempt in session.scalars(select(WebhookAttempt).join(newest, newest.c.id == WebhookAttempt.id))
    }
    query = (
        select(Webhook, Merchant.merch_id, Endpoint.origin, PAYMENTS.c.payment_id, Breaker.held_since)
        .join(Merchant, Merchant.id == Webhook.merchant_id)
        .join(Endpoint, Endpoint.id == Webhook.endpoint_id)
        .outerjoin(PAYMENTS, PAYMENTS.c.id == Webhook.payment_id)
        .outerjoin(Breaker, Breaker.endpoint_id == Webhook.endpoint_id)
        .where(Webhook.id.in_(ids))
    )
    found = {
        row.Webhook.id: Sent(
            row.Webhook, row.merch_id, row.origin, row.payment_id, row.held_since, last.get(row.Webhook.id)
        )
        for row in session.execute(query)
    }
    return [found[pk] for pk in ids if pk in found]
