"""Claims: a worker takes events to send, and records what came of them (`ready` says which may go).

A claim moves `due_at` to the end of its lease, so that a dead worker's events come free by themselves. A record
counts only while its lease is the event's own: one that comes too late changes nothing but the log.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, insert, or_, select, update

from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, transaction
from cerber.merchants.keyring import Keys
from cerber.webhooks.client.failures import Failure
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import MOST_UNFORESEEN, Webhook, WebhookAttempt
from cerber.webhooks.timings import LEASE
from cerber.webhooks.worker import breakers, circuit_breaker, claimable, retries
from cerber.webhooks.worker.circuit_breaker import Breaker
from cerber.webhooks.worker.delivery import Claim, Ready, Result

OWN_SIDE_AGAIN = 15.0  # seconds until an event is tried again after a failure of ours

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn brought: events to send, and what became of the breakers that it moved; None: the endpoint is
    well."""

    claims: list[Claim]
    breakers: dict[int, Breaker | None]


@transaction
def turn(results: Sequence[Result], unsent: Sequence[Claim], wanted: Sequence[tuple[Ready, int]]) -> Turn:
    """One turn of a worker, in one transaction: records what came of attempts, gives back what it will not send, and
    claims up to so many events for each endpoint that is wanted; for one that is held, one as a probe."""
    at = now()
    probing = [one.endpoint_id for one, _ in wanted if one.held]
    known = breakers.lock([*probing, *(result.claim.endpoint_id for result in results)])
    _record(results, at)
    _give_back(unsent, at)
    moved = breakers.note(_signs(results, known), known, at)
    probed = breakers.take_probes(probing, at, at + LEASE)
    claimed: list[Claim] = []
    for one, most in wanted:
        breaker, is_probe = moved.get(one.endpoint_id), one.endpoint_id in probed
        if is_probe or not (one.held or (breaker and breaker.held_since)):
            rows = claimable.events(one.endpoint_id, most, at, probe=is_probe)
            claimed += _claimed(rows, one.keys, at, probe=is_probe)
    return Turn(claimed, moved)


def _signs(results: Sequence[Result], known: Container[int]) -> list[breakers.Sign]:
    """What the attempts tell of endpoints that are not simply well. Of those with a breaker, whoever made it,
    the good count too: they end its row of failures."""
    unwell = {result.claim.endpoint_id for result in results if not result.well}
    return [_sign(one) for one in results if one.claim.endpoint_id in unwell or one.claim.endpoint_id in known]


def _record(results: Sequence[Result], at: datetime) -> None:
    delivered = [result.claim for result in results if result.outcome.failure is None]
    if delivered:
        _end(delivered, {"state": WebhookState.DELIVERED, "closed_at": at, "attempts": Webhook.attempts + 1})
    for result in results:
        if result.outcome.failure is not None:
            _end([result.claim], _after_failure(result, at))
    if results:
        db.session.execute(insert(WebhookAttempt), [_attempt(result) for result in results])


def _give_back(unsent: Sequence[Claim], at: datetime) -> None:
    for claim in unsent:
        _end([claim], {"due_at": claim.due_at, "scheduled_at": at})


def _end(claims: Sequence[Claim], values: dict[str, Any]) -> None:
    """Ends the lease of those events that are still under it."""
    ids, leases = [claim.id for claim in claims], {claim.lease for claim in claims}
    ours = and_(Webhook.id.in_(ids), Webhook.lease.in_(leases))
    db.session.execute(update(Webhook).where(ours).values({"lease": None} | values), execution_options=NO_SYNC)


def _after_failure(result: Result, at: datetime) -> dict[str, Any]:
    """When the event is tried again."""
    chance = random.random()  # noqa: S311 - it spreads retries, it guards nothing
    if result.outcome.failure is Failure.unforeseen:
        return _after_surprise(result.claim, at, chance)
    if result.outcome.ours:
        again = at + timedelta(seconds=OWN_SIDE_AGAIN * (1 + retries.JITTER * (2 * chance - 1)))
        return {"due_at": again, "scheduled_at": at}
    wait = retries.asked_wait(result.outcome.status, result.retry_after, at)
    asked: dict[str, Any] = {"scheduled_at": at, "not_before": at + timedelta(seconds=wait) if wait else None}
    if not result.costs_attempt:
        return {"due_at": at + timedelta(seconds=wait)} | asked
    attempts = result.claim.attempts + 1
    schedule = settings().retry_schedule
    following = retries.next_attempt(
        attempts, result.outcome.status, result.retry_after, at, schedule=schedule, chance=chance
    )
    if following is None:
        return {"state": WebhookState.GIVEN_UP, "closed_at": at, "attempts": Webhook.attempts + 1}
    return {"due_at": following, "attempts": Webhook.attempts + 1} | asked


def _after_surprise(claim: Claim, at: datetime, chance: float) -> dict[str, Any]:
    """Costs no attempt, but is not tried for ever: some event may bring it about each time."""
    if claim.unforeseen + 1 >= MOST_UNFORESEEN:
        log.error("Webhook %s is given up after %d failures that nobody foresaw", claim.event_id, MOST_UNFORESEEN)
        return {"state": WebhookState.GIVEN_UP, "closed_at": at, "unforeseen": MOST_UNFORESEEN}
    wait = circuit_breaker.distance(claim.unforeseen, settings().retry_schedule, chance)
    return {"due_at": at + timedelta(seconds=wait), "scheduled_at": at, "unforeseen": claim.unforeseen + 1}


def _sign(result: Result) -> breakers.Sign:
    failed = None if result.well else breakers.why(result.outcome, result.detail)
    return breakers.Sign(result.claim.endpoint_id, failed, result.claim.probe, result.outcome.ours)


def _claimed(rows: Sequence[Any], keys: Keys, at: datetime, *, probe: bool) -> list[Claim]:
    """Puts the rows under a lease. Where the server has no SKIP LOCKED some may have gone elsewhere meanwhile."""
    if not rows:
        return []
    lease, ends = secrets.token_hex(16), at + LEASE
    # closed_at and not state: SQLite would take the index of the state, and read all that are due
    free = and_(Webhook.closed_at.is_(None), or_(Webhook.due_at <= at, Webhook.lease.is_(None)))
    ids = Webhook.id.in_([row.id for row in rows])
    values = {"due_at": ends, "scheduled_at": at, "lease": lease}
    result: Any = db.session.execute(update(Webhook).where(ids, free).values(values), execution_options=NO_SYNC)
    if result.rowcount != len(rows):
        ours = set(db.session.scalars(select(Webhook.id).where(ids, Webhook.lease == lease)))
        rows = [row for row in rows if row.id in ours]
    return [Claim(**row._mapping, lease=lease, lease_ends=ends, probe=probe, keys=keys) for row in rows]


def _attempt(result: Result) -> dict[str, Any]:
    return {
        "webhook_id": result.claim.id,
        "at": result.at,
        "milliseconds": result.milliseconds,
        "outcome": result.outcome,
        "detail": result.detail[:200],
        "answer": result.answer.decode("utf-8", "replace").replace("\0", "\ufffd"),
        "headers": json.dumps(dict(result.headers)),
    }
