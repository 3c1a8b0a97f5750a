"""A merchant's events as a list to pull, for those whose server was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, func, null, select, true
from sqlalchemy.orm import Session, aliased

from cerber.context import now
from cerber.db.transactions import reading
from cerber.errors import NotFound
from cerber.webhooks.kinds import Kind, WebhookState
from cerber.webhooks.models import PAYMENTS, Webhook

SETTLED_AFTER = timedelta(seconds=60)  # no transaction stays open for so long: a lock is waited for 15 s at most


@dataclass(frozen=True, slots=True)
class HappenedEvent:
    """One event: the id and the text of its webhook, and how far the delivery is. `payment_id` is the merchant's."""

    event_id: str
    kind: Kind
    payment_id: str | None
    body: str
    at: datetime
    state: WebhookState
    attempts: int


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order. `cursor` is what the next page comes after."""

    events: Sequence[HappenedEvent]
    cursor: str | None
    has_more: bool


def after(merchant_pk: int, cursor: str | None, limit: int) -> Page:
    """The merchant's events after the one with the id `cursor`, or from the first one on.

    Raises NotFound where the merchant has no such event.
    """
    with reading() as session:
        start, settled = _bounds(session, merchant_pk, cursor)
        rows = session.execute(_listed(merchant_pk, start, settled).limit(limit + 1)).all()
    events = [_event(row) for row in rows[:limit]]
    return Page(events, events[-1].event_id if events else cursor, len(rows) > limit)


def _bounds(session: Session, merchant_pk: int, cursor: str | None) -> tuple[int, int]:
    """The internal id of `cursor`, 0 for none, and that of the last event of all that is settled.

    The latter walks the primary key backwards past what the last minute brought, and no further.
    """
    own = select(Webhook.id).where(Webhook.event_id == cursor, Webhook.merchant_id == merchant_pk)
    old = select(Webhook.id).where(Webhook.created_at <= now() - SETTLED_AFTER).order_by(Webhook.id.desc()).limit(1)
    start_column = null() if cursor is None else own.scalar_subquery()
    start, settled = session.execute(select(start_column, old.scalar_subquery())).one()
    if cursor is not None and start is None:
        raise NotFound("The merchant has no event with this id.")
    return start or 0, settled or 0


def _listed(merchant_pk: int, start: int, settled: int) -> Select[*tuple[Any, ...]]:
    """One statement, so that the events and the gaps between them are seen at one moment."""
    return (
        select(*_SHOWN)
        .outerjoin(PAYMENTS, PAYMENTS.c.id == Webhook.payment_id)
        .where(Webhook.merchant_id == merchant_pk, Webhook.id > start, _no_gap_before(max(start, settled)))
        .order_by(Webhook.id)
    )


def _no_gap_before(settled: int) -> ColumnElement[bool]:
    """Whether no event may yet appear before this one.

    MySQL gives an id out before its transaction commits: a reader can see event 10 while 9 is still to come. A cursor
    at 10 would lose 9 for ever, so a list ends before the first gap in the ids, of all merchants' events. A gap below
    an event that is older than a minute is one that was rolled back, and is ignored; a younger one can hold fresh
    events back for a minute at most. Only ids above `settled` are looked at, and only where the list gets that far.
    """
    later, before = aliased(Webhook), aliased(Webhook)
    after_gap = select(func.min(later.id)).outerjoin(before, before.id == later.id - 1)
    after_gap = after_gap.where(later.id > settled + 1, before.id.is_(None))
    before_gap = Webhook.id < func.coalesce(after_gap.scalar_subquery(), _NEVER)
    return case((Webhook.id <= settled, true()), else_=before_gap).is_(True)


_NEVER = 2**63 - 1  # no id is as high
_SHOWN = (
    Webhook.event_id,
    Webhook.kind,
    PAYMENTS.c.payment_id,
    Webhook.body,
    Webhook.created_at,
    Webhook.state,
    Webhook.attempts,
)


def _event(row: Row[*tuple[Any, ...]]) -> HappenedEvent:
    return HappenedEvent(*row)
