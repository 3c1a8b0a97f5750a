"""Sending again: one event, or all of a merchant or an endpoint since a time; and trying a held endpoint at once.

Of many, those are sent again by default that were not delivered: given up, or waiting for their next attempt.
Delivered events are sent again only where they are asked for: by a merchant that lost what it was sent.

An event that was closed goes out by hand: it waits for no other of its payment. One that still waits stays in its
order. Left alone is what a worker is sending at this moment, and what its receiver asked to have later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select, update

from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, reading, transaction
from cerber.errors import NotFound
from cerber.webhooks import endpoints
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Endpoint, Webhook
from cerber.webhooks.selection import Target, Which, bounds, look, under_way

BATCH = 500  # events for each look and each transaction
SPAN = 5000  # ids for each look: MySQL reads a small range, but for a large one all of the merchant's ids before it


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. `seen` happened since then, the last of them at `up_to`: whoever goes on later begins there."""

    seen: int = 0
    matched: int = 0
    under_way: int = 0
    sent_again: int = 0
    up_to: datetime | None = None
    finished: bool = False


@transaction
def one(webhook_pk: int, actor: str) -> Webhook:
    """Sends an event again: same bytes, same id, new attempts, at once. Raises NotFound.

    It waits for no other; those after it go on waiting for it, if it was never delivered or given up. One that is
    being sent at this moment is left to that. If its endpoint is held, the next probe goes out at once instead, and
    releases this event with all others. What its merchant polls for is there already.
    """
    at = now()
    endpoint_id = db.session.scalar(select(Webhook.endpoint_id).filter_by(id=webhook_pk))
    if endpoint_id is None:
        raise NotFound("There is no such webhook.")
    _probe_at_once([endpoint_id], at)  # breakers are locked before events
    webhook = db.session.scalars(select(Webhook).filter_by(id=webhook_pk).with_for_update()).one()
    if (webhook.lease is not None and webhook.due_at > at) or endpoints.is_polled(webhook.url):
        return webhook
    changes = _due(at) if webhook.closed_at is None else _reopened(at)
    for name, value in (changes | {"by_hand": True}).items():
        setattr(webhook, name, value)
    trail.note(at, actor, "webhook_resent", webhook.payment_id, event_id=webhook.event_id)
    return webhook


def run(target: Target, which: Which, actor: str, *, dry_run: bool = False) -> Iterator[Progress]:
    """Sends again in batches, each a transaction of its own, the oldest events first; tells the progress after each.

    It may be left at any time: the one entry in the audit log says how far it came. Run again it finds what is still
    not delivered; delivered events it would send once more, so go on from `up_to`. What happens meanwhile is not
    for it to send.
    """
    done, entry, probed = Progress(), None, set[int]()
    with reading() as session:
        first, last = bounds(session, which)
    while not done.finished:
        at, end = now(), min(first + SPAN - 1, last)
        with reading() as session:
            rows = session.execute(look(target, which, at, first, end, BATCH)).all()
        first = rows[-1].id + 1 if len(rows) == BATCH else end + 1
        fitting = [row for row in rows if row.fits and not row.under_way]
        done = replace(
            done,
            seen=done.seen + sum(row.created_at >= which.since for row in rows),
            matched=done.matched + len(fitting),
            under_way=done.under_way + sum(row.fits and row.under_way for row in rows),
            up_to=max(rows[-1].created_at, which.since) if rows else done.up_to,
            finished=first > last,
        )
        if fitting and not dry_run:
            done, entry = _send_again(target, which, actor, at, fitting, done, entry, probed)
            probed |= {row.endpoint_id for row in fitting}
        yield done


@transaction
def try_now(endpoint_pk: int, actor: str) -> bool:
    """Sends a held endpoint's next probe at once. False where it is not held. Raises NotFound."""
    endpoint = db.session.get(Endpoint, endpoint_pk)
    if endpoint is None:
        raise NotFound("There is no such endpoint.")
    if not _probe_at_once([endpoint_pk], now()):
        return False
    trail.note(now(), actor, "endpoint_tried", endpoint=endpoint_pk, origin=endpoint.origin)
    return True


@transaction
def _send_again(
    target: Target,
    which: Which,
    actor: str,
    at: datetime,
    rows: Sequence[Any],
    done: Progress,
    entry: int | None,
    probed: Set[int],
) -> tuple[Progress, int]:
    """Marks one batch and writes the run's entry in the audit log. Gives the progress with it, and the entry's id."""
    _probe_at_once(sorted({row.endpoint_id for row in rows} - probed), at)
    done = replace(done, sent_again=done.sent_again + _mark([row.id for row in rows], which, at))
    details: dict[str, Any] = {
        "merch_id": target.merch_id,
        "endpoint": target.origin,
        "since": str(which.since),
        "until": which.until and str(which.until),
        "delivered": which.delivered,
        "sent_again": done.sent_again,
        "up_to": str(done.up_to),
    }
    if entry is None:
        return done, trail.note(at, actor, "webhooks_resent", **details)
    trail.amend(entry, **details)
    return done, entry


def _mark(ids: Sequence[int], which: Which, at: datetime) -> int:
    """Makes those of the events due that still may be: at one time, so that they go out in the order of their ids."""
    # closed_at and not state: SQLite would take the index of the state, and read all that are due
    waiting = (Webhook.id.in_(ids), Webhook.closed_at.is_(None), ~under_way(at))
    closed: list[Any] = [Webhook.id.in_(ids), Webhook.closed_at.is_not(None)]
    if not which.delivered:
        closed.append(Webhook.state != WebhookState.DELIVERED)
    changes = [
        update(Webhook).where(*waiting).values(_due(at)),
        update(Webhook).where(*closed).values(_reopened(at)),
    ]
    results: list[Any] = [db.session.execute(change, execution_options=NO_SYNC) for change in changes]
    return sum(result.rowcount for result in results)


def _due(at: datetime) -> dict[str, Any]:
    """What makes an event due at once, with all its attempts before it."""
    times = {"due_at": at, "scheduled_at": at, "queued_at": at}
    return times | {"lease": None, "not_before": None, "attempts": 0, "unforeseen": 0}


def _reopened(at: datetime) -> dict[str, Any]:
    """The same for one that was closed."""
    return _due(at) | {"state": WebhookState.DUE, "closed_at": None, "by_hand": True, "reopened": True}


def _probe_at_once(endpoints: Sequence[int], at: datetime) -> bool:
    """Those of them that are held are tried now, but for one that is being tried. Whether any is held."""
    held = (Breaker.endpoint_id.in_(endpoints), Breaker.held_since.is_not(None))
    same = (Webhook.state == WebhookState.DUE, Webhook.endpoint_id == Breaker.endpoint_id)
    under_way = exists().where(*same, Webhook.due_at > at, Webhook.lease.is_not(None))
    sooner = update(Breaker).where(*held, ~under_way).values(probe_at=at)
    result: Any = db.session.execute(sooner, execution_options=NO_SYNC)
    return bool(result.rowcount or db.session.scalar(select(Breaker.endpoint_id).where(*held).limit(1)))
