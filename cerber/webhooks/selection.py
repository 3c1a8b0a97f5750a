"""Which events are sent again: whose they are, when they happened, and the looks that find them.

Left alone is what a worker is sending at this moment, and what its receiver asked to have later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from cerber.db.transactions import reading
from cerber.errors import NotFound
from cerber.merchants.models import Merchant
from cerber.webhooks.callback_urls import parse_callback_url
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Endpoint, Webhook

ASKEW = timedelta(minutes=10)  # ids and times rise together, but for slow transactions and clocks that differ


@dataclass(frozen=True, slots=True)
class Target:
    """Whose events: all of a merchant, or those for one of its endpoints."""

    merchant_id: int
    merch_id: str
    endpoint_id: int | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Which:
    """Those that happened from `since` to `until`, both included; with `delivered`, the delivered ones too."""

    since: datetime
    until: datetime | None = None
    delivered: bool = False


def of_merchant(merch_id: str, url: str | None = None) -> Target:
    """The merchant's, or with a URL those for its origin. Raises NotFound, and ValueError for what is no URL."""
    origin = None if url is None else parse_callback_url(url, own_host=None, allow_private=True).origin
    with reading() as session:
        merchant_id = session.scalar(select(Merchant.id).filter_by(merch_id=merch_id))
        if merchant_id is None:
            raise NotFound(f"There is no merchant {merch_id}.")
        if origin is None:
            return Target(merchant_id, merch_id)
        endpoint_id = session.scalar(select(Endpoint.id).filter_by(merchant_id=merchant_id, origin=origin))
    if endpoint_id is None:
        raise NotFound(f"The merchant {merch_id} has no endpoint {origin}.")
    return Target(merchant_id, merch_id, endpoint_id, origin)


def of_endpoint(endpoint_pk: int) -> Target:
    """Raises NotFound."""
    columns = (Endpoint.merchant_id, Merchant.merch_id, Endpoint.id, Endpoint.origin)
    with reading() as session:
        query = select(*columns).join(Merchant, Merchant.id == Endpoint.merchant_id).where(Endpoint.id == endpoint_pk)
        row = session.execute(query).first()
    if row is None:
        raise NotFound("There is no such endpoint.")
    return Target(*row)


def bounds(session: Session, which: Which) -> tuple[int, int]:
    """The first and the last id to look at, of all merchants' events."""
    first = _first_from(session, which.since - ASKEW)
    if which.until is not None:
        return first, _first_from(session, which.until + ASKEW) - 1
    return first, session.scalar(select(func.max(Webhook.id))) or 0


def _first_from(session: Session, moment: datetime) -> int:
    """The id of the first event that happened at the moment or later; the one after the last where there is none.

    Time has no index, so it is found by halving: some twenty looks at one row each.
    """
    low = session.scalar(select(func.min(Webhook.id))) or 1
    end = (session.scalar(select(func.max(Webhook.id))) or 0) + 1
    while low < end:
        middle = (low + end) // 2
        following = select(Webhook.id, Webhook.created_at).where(Webhook.id >= middle).order_by(Webhook.id).limit(1)
        pk, created_at = session.execute(following).one()
        low, end = (pk + 1, end) if created_at < moment else (low, middle)
    return low


def look(target: Target, which: Which, at: datetime, first: int, last: int, most: int) -> Any:
    """The events of the target with these ids, `most` at most: whether each fits, and whether it is under way."""
    column, value = _column(target)
    fits = [Webhook.created_at >= which.since]
    if which.until is not None:
        fits.append(Webhook.created_at <= which.until)
    if not which.delivered:
        fits.append(Webhook.state != WebhookState.DELIVERED)
    columns = (Webhook.id, Webhook.endpoint_id, Webhook.created_at)
    seen = select(*columns, and_(*fits).label("fits"), under_way(at).label("under_way"))
    return seen.where(column == value, Webhook.id.between(first, last)).order_by(Webhook.id).limit(most)


def under_way(at: datetime) -> ColumnElement[bool]:
    """Whether it is being sent at this moment, or its receiver asked to have it later."""
    sending = and_(Webhook.lease.is_not(None), Webhook.due_at > at)
    later = and_(Webhook.not_before.is_not(None), Webhook.not_before > at)
    return and_(Webhook.closed_at.is_(None), or_(sending, later))


def _column(target: Target) -> tuple[InstrumentedAttribute[int], int]:
    if target.endpoint_id is not None:
        return Webhook.endpoint_id, target.endpoint_id
    return Webhook.merchant_id, target.merchant_id
