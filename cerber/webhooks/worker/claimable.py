"""Which events may go now, and to which endpoints: what `claims` asks before it takes any.

It goes by endpoint, so that no merchant's backlog lies before another merchant's event.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import aliased

from cerber.context import now
from cerber.db.engines import db, skips_locked
from cerber.db.tables import UTCDateTime
from cerber.db.transactions import read_connection
from cerber.merchants import keyring
from cerber.merchants.keyring import Signer
from cerber.merchants.models import Merchant
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Endpoint, Webhook
from cerber.webhooks.worker.delivery import Ready


def endpoints() -> list[Ready]:
    """The endpoints that have something to send now. One statement, and one look into the index for each of them."""
    with read_connection() as connection:
        rows = connection.execute(_READY[connection.dialect.name], {"at": now()}).all()
    return [_ready(row) for row in rows]


def events(endpoint_id: int, most: int, at: datetime, *, probe: bool) -> Sequence[Any]:
    """The endpoint's events that may be claimed, the first due first; for a probe one of all that wait."""
    chosen = _PROBE if probe else _DUE
    values = {"endpoint_id": endpoint_id, "at": at, "most": 1 if probe else most}
    return db.session.connection().execute(chosen[skips_locked(db.engine)], values).all()


def first_due() -> datetime | None:
    """When the first event was or will be due whose endpoint is not held. One look into the index an endpoint."""
    with read_connection() as connection:
        return connection.execute(_FIRST_DUE[connection.dialect.name]).scalar()


def may_go(webhook: Any) -> ColumnElement[bool]:
    """Whether an event waits for no earlier one of its payment. One sent again by hand does not wait; others wait for
    it until it was delivered or given up once."""
    earlier = aliased(Webhook)
    waits = exists().where(
        earlier.payment_id == webhook.payment_id,
        earlier.state == WebhookState.DUE,
        earlier.reopened.is_(False),
        earlier.id < webhook.id,
    )
    return or_(webhook.by_hand.is_(True), ~waits)


def _ready(row: Any) -> Ready:
    keys = keyring.ring_of(Signer(row.merchant_id, row.version, row.blocked_at is not None))
    return Ready(row.endpoint_id, row.merchant_id, keys, row.failures is not None, row.held_since is not None)


# Built once: building a statement costs more than SQLite takes to run it.
_AT = bindparam("at", type_=UTCDateTime)
_ABOUT = ("id", "event_id", "merchant_id", "endpoint_id", "kind", "url", "body")
_CLAIMED = (*_ABOUT, "attempts", "unforeseen", "by_hand", "created_at", "due_at")


def _candidates(*which: Any) -> dict[bool, Select[Any]]:
    """An endpoint's events that wait for no earlier one of their payment; by whether SKIP LOCKED is understood."""
    found = (
        select(*(getattr(Webhook, name) for name in _CLAIMED))
        .where(Webhook.state == WebhookState.DUE, Webhook.endpoint_id == bindparam("endpoint_id"), *which)
        .where(may_go(Webhook))
        .order_by(Webhook.due_at, Webhook.id)
        .limit(bindparam("most"))
    )
    return {skips: found.with_for_update(skip_locked=skips) for skips in (False, True)}


_DUE = _candidates(Webhook.due_at <= _AT)
_PROBE = _candidates(
    or_(Webhook.lease.is_(None), Webhook.due_at <= _AT),
    or_(Webhook.not_before.is_(None), Webhook.not_before <= _AT),
)


def _ready_among(waiting: Any) -> Select[Any]:
    """`waiting` has the endpoints with events that are not closed, and when the first of them is due."""
    open_ones = and_(Breaker.held_since.is_(None), waiting.c.due_at <= _AT)
    columns = (Merchant.version, Merchant.blocked_at, Breaker.failures, Breaker.held_since)
    return (
        select(waiting.c.endpoint_id, Endpoint.merchant_id, *columns)
        .join(Endpoint, Endpoint.id == waiting.c.endpoint_id)
        .join(Merchant, Merchant.id == Endpoint.merchant_id)
        .outerjoin(Breaker, Breaker.endpoint_id == Endpoint.id)
        .where(or_(open_ones, Breaker.probe_at <= _AT))
    )


def _by_groups() -> Any:
    """MySQL jumps from group to group in the index (a loose index scan), if it is told all of the index's columns."""
    first = func.min(Webhook.due_at).label("due_at")
    groups = (Webhook.state, Webhook.endpoint_id)
    return select(*groups, first).where(Webhook.state == WebhookState.DUE).group_by(*groups).subquery()


def _by_steps() -> Any:
    """SQLite would read all of the index for that, so it is led from endpoint to endpoint."""
    after = aliased(Webhook)
    first = select(func.min(Webhook.endpoint_id).label("endpoint_id")).where(Webhook.state == WebhookState.DUE)
    walk = first.cte("walk", recursive=True)
    following = (
        select(after.endpoint_id)
        .where(after.state == WebhookState.DUE, after.endpoint_id > walk.c.endpoint_id)
        .order_by(after.endpoint_id)
        .limit(1)
        .scalar_subquery()
    )
    walk = walk.union_all(select(following).where(walk.c.endpoint_id.is_not(None)))
    inner = aliased(Webhook)
    first_due = (
        select(func.min(inner.due_at))
        .where(inner.state == WebhookState.DUE, inner.endpoint_id == walk.c.endpoint_id)
        .scalar_subquery()
        .label("due_at")
    )
    return select(walk.c.endpoint_id, first_due).where(walk.c.endpoint_id.is_not(None)).subquery()


def _first_among(waiting: Any) -> Select[Any]:
    holds = and_(Breaker.endpoint_id == waiting.c.endpoint_id, Breaker.held_since.is_not(None))
    first = select(func.min(waiting.c.due_at)).select_from(waiting).outerjoin(Breaker, holds)
    return first.where(Breaker.endpoint_id.is_(None))


_READY = {"mysql": _ready_among(_by_groups()), "sqlite": _ready_among(_by_steps())}
_FIRST_DUE = {"mysql": _first_among(_by_groups()), "sqlite": _first_among(_by_steps())}
