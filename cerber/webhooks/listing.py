"""Which webhooks and which endpoints are on a page of their lists: reads along one index each, from a place on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, literal, null, select, union_all
from sqlalchemy.orm import Session

from cerber.db import paging
from cerber.db.hints import by_index
from cerber.db.paging import EPOCH, FIRST, Listing, Page, Place, Start
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Endpoint, Webhook

AT_ONCE = 50  # parts in one statement: SQLite takes 500
# Where those stand that are not held, in a list by since when an endpoint has been held.
FAILING, WELL = datetime(9000, 1, 1, tzinfo=UTC), datetime(9001, 1, 1, tzinfo=UTC)

Parts = Callable[[Listing], Iterable[Select[Any]]]


def webhooks(
    session: Session, start: Start, state: WebhookState | None, merchant: int | None, endpoint: int | None
) -> Page[int]:
    """The newest first; with a state by when they were or are due, and of those that wait the next first."""
    if endpoint is not None and merchant not in (None, session.scalar(_owner(endpoint))):
        return Page([])
    if state is None:
        return _page(session, start, lambda listing: [_by_key(listing, merchant, endpoint)])
    endpoints = [endpoint]
    if endpoint is None and merchant is not None:  # the index of the states goes by endpoint
        endpoints = list(session.scalars(select(Endpoint.id).where(Endpoint.merchant_id == merchant)))

    def parts(listing: Listing) -> Iterator[Select[Any]]:
        return (_by_due(listing, state, one) for one in endpoints)

    return _page(session, start, parts, newest_first=state is not WebhookState.DUE)


def endpoints(session: Session, start: Start, merchant: int | None) -> Page[int]:
    """The held ones first, the longest held before the others; then those that fail; then all that are well."""
    return _page(session, start, lambda listing: _by_health(listing, merchant), newest_first=False)


def _page(session: Session, start: Start, parts: Parts, *, newest_first: bool = True) -> Page[int]:
    listing = Listing(start, newest_first)
    page = listing.page([_place(row) for row in _rows(session, list(parts(listing)))])
    if listing.turned and page.back is None and len(page.rows) < paging.SIZE:
        return _page(session, FIRST, parts, newest_first=newest_first)  # only a part of it lay before the place
    return page


def _rows(session: Session, parts: list[Select[Any]]) -> Iterator[Any]:
    for first in range(0, len(parts), AT_ONCE):
        some = (part.subquery() for part in parts[first : first + AT_ONCE])
        yield from session.execute(union_all(*(select(few) for few in some)))


def _owner(endpoint: int) -> Select[Any]:
    return select(Endpoint.merchant_id).where(Endpoint.id == endpoint)


def _place(row: Any) -> Place:
    return Place(row.moment or (EPOCH, FAILING, WELL)[row.section], row.id)


def _columns(section: int, moment: Any, pk: Any) -> tuple[Any, ...]:
    return literal(section).label("section"), moment.label("moment"), pk.label("id")


def _by_key(listing: Listing, merchant: int | None, endpoint: int | None) -> Select[Any]:
    query = select(*_columns(0, null(), Webhook.id))
    if endpoint is not None:
        query = by_index(query.where(Webhook.endpoint_id == endpoint), Webhook, "ix_webhooks_endpoint_id")
    elif merchant is not None:
        query = by_index(query.where(Webhook.merchant_id == merchant), Webhook, "ix_webhooks_merchant_id")
    return listing.part_by_key(query, Webhook.id)


def _by_due(listing: Listing, state: WebhookState, endpoint: int | None) -> Select[Any]:
    query = select(*_columns(0, Webhook.due_at, Webhook.id)).where(Webhook.state == state)
    if endpoint is None:
        query = by_index(query, Webhook, "ix_webhooks_state_due_at")
    else:
        of = query.where(Webhook.endpoint_id == endpoint)
        query = by_index(of, Webhook, "ix_webhooks_state_endpoint_id_due_at")
    return listing.part(query, Webhook.due_at, Webhook.id)


def _by_health(listing: Listing, merchant: int | None) -> Iterator[Select[Any]]:
    of = [] if merchant is None else [Endpoint.merchant_id == merchant]
    pk, join = Breaker.endpoint_id, Endpoint.id == Breaker.endpoint_id
    held = select(*_columns(0, Breaker.held_since, pk)).join(Endpoint, join)
    yield listing.part(held.where(Breaker.held_since.is_not(None), *of), Breaker.held_since, pk)
    failing = select(*_columns(1, null(), pk)).join(Endpoint, join)
    yield listing.part_by_key(failing.where(Breaker.held_since.is_(None), *of), pk, FAILING)
    well = select(*_columns(2, null(), Endpoint.id)).outerjoin(Breaker, join)
    yield listing.part_by_key(well.where(pk.is_(None), *of), Endpoint.id, WELL)
