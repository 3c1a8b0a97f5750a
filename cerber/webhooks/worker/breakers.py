"""The rows of breakers (`circuit_breaker.py` has the rules): endpoints whose events are held because they fail."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from cerber.context import settings
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC
from cerber.errors import Overtaken
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Endpoint, Webhook
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.worker import circuit_breaker

_LOCKED = (  # built once: it is asked each time that something came back
    select(Breaker.endpoint_id, Breaker.failures, Breaker.probes, Breaker.why, Breaker.held_since, Breaker.probe_at)
    .where(Breaker.endpoint_id.in_(bindparam("endpoints", expanding=True)))
    .order_by(Breaker.endpoint_id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Sign:
    """What one attempt tells of its endpoint. `failed` is why, or None where it is well; `probe` was sent to see.

    An attempt that failed on our own side tells nothing: `silent`.
    """

    endpoint_id: int
    failed: str | None
    probe: bool
    silent: bool


def lock(endpoints: Iterable[int]) -> dict[int, circuit_breaker.Breaker]:
    """The breakers of those endpoints that have one, locked until the caller's transaction ends: before any event is.
    Whoever releases an endpoint's events holds its breaker, and waits for them."""
    asked = sorted(set(endpoints))
    if not asked:
        return {}
    rows = db.session.connection().execute(_LOCKED, {"endpoints": asked}).all()
    return {
        row.endpoint_id: circuit_breaker.Breaker(row.failures, row.probes, row.why, row.held_since, row.probe_at)
        for row in rows
    }


def note(
    signs: Sequence[Sign], known: Mapping[int, circuit_breaker.Breaker], at: datetime
) -> dict[int, circuit_breaker.Breaker | None]:
    """Moves the endpoints' breakers, in the caller's transaction and in the order of the attempts. Gives what each
    is from now on; None where its endpoint is well. `known` are those that `lock` gave.

    Raises Overtaken where another worker has made one meanwhile: it has to be locked first.
    """
    moved = {}
    for endpoint_id in sorted({sign.endpoint_id for sign in signs}):
        before = after = known.get(endpoint_id)
        for sign in signs:
            if sign.endpoint_id == endpoint_id:
                after = _moved(after, sign, at)
        if before is None:
            _stay_alone(endpoint_id)
        if after != before:
            _write(endpoint_id, before, after, at)
        moved[endpoint_id] = after
    return moved


def take_probes(endpoints: Sequence[int], at: datetime, until: datetime) -> list[int]:
    """Those of the endpoints that this worker may probe; nobody else does `until` then, if we die over it."""
    taken = []
    for endpoint_id in endpoints:
        mine = update(Breaker).where(Breaker.endpoint_id == endpoint_id, Breaker.probe_at <= at)
        result: Any = db.session.execute(mine.values(probe_at=until), execution_options=NO_SYNC)
        if result.rowcount:
            taken.append(endpoint_id)
    return taken


def _stay_alone(endpoint_id: int) -> None:
    """Lets no other worker make a breaker of this endpoint: there is none yet to lock."""
    db.session.execute(select(Endpoint.id).filter_by(id=endpoint_id).with_for_update())
    if db.session.scalar(select(Breaker.endpoint_id).filter_by(endpoint_id=endpoint_id)) is not None:
        raise Overtaken("Another worker has noted the failure of the endpoint first.")


def _moved(before: circuit_breaker.Breaker | None, sign: Sign, at: datetime) -> circuit_breaker.Breaker | None:
    schedule, chance = settings().retry_schedule, random.random()  # noqa: S311 - it spreads probes, it guards nothing
    if sign.silent:
        if before is None or before.held_since is None or not sign.probe:
            return before
        return circuit_breaker.put_off(before, at, schedule=schedule, chance=chance)
    if sign.failed is None:
        return None
    return circuit_breaker.after_failure(before, sign.failed, at, probe=sign.probe, schedule=schedule, chance=chance)


def _write(
    endpoint_id: int, before: circuit_breaker.Breaker | None, after: circuit_breaker.Breaker | None, at: datetime
) -> None:
    if after is None:
        db.session.execute(delete(Breaker).filter_by(endpoint_id=endpoint_id), execution_options=NO_SYNC)
        if before is not None and before.held_since is not None:
            _release(endpoint_id, at)
    elif before is None:
        db.session.execute(insert(Breaker).values(endpoint_id=endpoint_id, **asdict(after)))
    else:
        changed = update(Breaker).filter_by(endpoint_id=endpoint_id).values(**asdict(after))
        db.session.execute(changed, execution_options=NO_SYNC)


def _release(endpoint_id: int, at: datetime) -> None:
    """Makes all that was held due at once, the oldest first; not what the receiver asked to have later, and not a
    probe that was refused for its own order: it was scheduled now, and keeps its distance."""
    waiting = (Webhook.state == WebhookState.DUE, Webhook.endpoint_id == endpoint_id, Webhook.lease.is_(None))
    held = (*waiting, Webhook.due_at != Webhook.queued_at, Webhook.scheduled_at != at)
    allowed = or_(Webhook.not_before.is_(None), Webhook.not_before <= at)
    due = {"due_at": Webhook.queued_at, "scheduled_at": at}
    db.session.execute(update(Webhook).where(*held, allowed).values(due), execution_options=NO_SYNC)


def give_up_held(at: datetime, most: int = 1000) -> int:
    """Gives up events that have been held for seven days, in the caller's transaction: so many at most. How many."""
    long_ago = at - circuit_breaker.HELD_AT_MOST
    held = select(Breaker.endpoint_id).where(Breaker.held_since <= long_ago)
    late = (Webhook.state == WebhookState.DUE, Webhook.queued_at <= long_ago, Webhook.lease.is_(None))
    ids: list[int] = []
    for endpoint_id in db.session.scalars(held).all():
        found = select(Webhook.id).where(*late, Webhook.endpoint_id == endpoint_id).limit(most - len(ids))
        ids += db.session.scalars(found).all() if len(ids) < most else []
    ended = update(Webhook).where(Webhook.id.in_(ids), *late).values(state=WebhookState.GIVEN_UP, closed_at=at)
    if ids:
        db.session.execute(ended, execution_options=NO_SYNC)
    return len(ids)


def why(outcome: Outcome, detail: str) -> str:
    """A sentence for operators, short enough for its column."""
    return (detail or f"answered {outcome.status}")[:250]
