"""Claims: which events a worker may send, and what came of them.

A claim moves `due_at` to the end of its lease, so that a dead worker's events come free by themselves. A record
counts only while its lease is the event's own: one that comes too late changes nothing but the log. Claiming goes
by endpoint, so that no merchant's backlog lies before another merchant's event.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from cerber import retry
from cerber.breaker import Breaker
from cerber.context import now, settings
from cerber.database import NO_SYNC, UTCDateTime, db, skips_locked, transaction
from cerber.models import Breaker as BreakerRow
from cerber.models import Endpoint, Merchant, Webhook, WebhookAttempt
from cerber.services import breakers
from cerber.services.keyring import Signer

LEASE = timedelta(seconds=28)  # longer than the longest attempt (15 s), free again within 30 s
OWN_SIDE_AGAIN = 15.0  # seconds until an event is tried again after a failure of ours


@dataclass(frozen=True, slots=True)
class Ready:
    """An endpoint with something to send, and who signs for it. `held`: just one event may go, as a probe."""

    endpoint_id: int
    signer: Signer
    failing: bool
    held: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that this worker may send until `lease_ends`. `due_at` is when it was due before the claim."""

    id: int
    event_id: str
    kind: str
    url: str
    body: str
    attempts: int
    by_hand: bool
    endpoint_id: int
    created_at: datetime
    due_at: datetime
    lease: str
    lease_ends: datetime
    probe: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `failure` is None where it was delivered; `ours`: it failed on our own side.

    `headers` are those sent, without signatures; `milliseconds` is how long it took.
    """

    claim: Claim
    at: datetime
    milliseconds: int
    headers: Mapping[str, str]
    status: int | None
    failure: str | None
    ours: bool
    detail: str
    answer: bytes
    retry_after: str | None

    @property
    def well(self) -> bool:
        """Whether the endpoint is, whatever it said of this one event."""
        return not self.ours and not breakers.speaks_of_endpoint(self.status, self.failure)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn brought: events to send, and what became of the breakers that it moved; None: the endpoint is
    well."""

    claims: list[Claim]
    breakers: dict[int, Breaker | None]


def ready() -> list[Ready]:
    """The endpoints that have something to send now. One statement, and one look into the index for each of them."""
    with db.engines["reads"].connect() as connection:
        rows = connection.execute(_READY[connection.dialect.name], {"at": now()}).all()
    return [_ready(row) for row in rows]


@transaction
def turn(
    outcomes: Sequence[Outcome],
    unsent: Sequence[Claim],
    shares: Mapping[int, int],
    held: Container[int],
    failing: Container[int],
) -> Turn:
    """One turn of a worker, in one transaction: records what came of attempts, gives back what it will not send, and
    claims up to so many events for each endpoint of `shares`; of those `held`, one as a probe.

    `failing` are the endpoints known to have a breaker: all that comes of them counts, the good too.
    """
    at = now()
    moved = _record(outcomes, failing, at)
    _give_back(unsent, at)
    probed = breakers.take_probes([endpoint for endpoint in shares if endpoint in held], at, at + LEASE)
    rows: list[Any] = []
    for endpoint, most in shares.items():
        breaker = moved.get(endpoint)
        if endpoint in probed or not (endpoint in held or (breaker and breaker.held_since)):
            rows += _due(endpoint, most, at, probe=endpoint in probed)
    return Turn(_claimed(rows, at, probed), moved)


def _record(outcomes: Sequence[Outcome], failing: Container[int], at: datetime) -> dict[int, Breaker | None]:
    delivered = [outcome.claim for outcome in outcomes if outcome.failure is None]
    if delivered:
        _end(delivered, {"state": "delivered", "closed_at": at, "attempts": Webhook.attempts + 1})
    unwell = {outcome.claim.endpoint_id for outcome in outcomes if not outcome.well}
    signs = []
    for outcome in outcomes:
        if outcome.failure is not None:
            _end([outcome.claim], _after_failure(outcome, at))
        if outcome.claim.endpoint_id in unwell or outcome.claim.endpoint_id in failing:
            signs.append(_sign(outcome))
    if outcomes:
        db.session.execute(insert(WebhookAttempt), [_attempt(outcome) for outcome in outcomes])
    return breakers.note(signs, at)


def _give_back(unsent: Sequence[Claim], at: datetime) -> None:
    for claim in unsent:
        _end([claim], {"due_at": claim.due_at, "scheduled_at": at})


def _end(claims: Sequence[Claim], values: dict[str, Any]) -> None:
    """Ends the lease of those events that are still under it."""
    ids, leases = [claim.id for claim in claims], {claim.lease for claim in claims}
    ours = and_(Webhook.id.in_(ids), Webhook.lease.in_(leases))
    db.session.execute(update(Webhook).where(ours).values({"lease": None} | values), execution_options=NO_SYNC)


def _after_failure(outcome: Outcome, at: datetime) -> dict[str, Any]:
    """When the event is tried again. What failed on our side, and a probe, cost it no attempt."""
    chance = random.random()  # noqa: S311 - it spreads retries, it guards nothing
    if outcome.ours:
        again = at + timedelta(seconds=OWN_SIDE_AGAIN * (1 + retry.JITTER * (2 * chance - 1)))
        return {"due_at": again, "scheduled_at": at}
    wait = retry.asked_wait(outcome.status, outcome.retry_after, at)
    asked: dict[str, Any] = {"scheduled_at": at, "not_before": at + timedelta(seconds=wait) if wait else None}
    if outcome.claim.probe and not outcome.well:
        return {"due_at": at + timedelta(seconds=wait)} | asked
    attempts = outcome.claim.attempts + 1
    schedule = settings().retry_schedule
    following = retry.next_attempt(
        attempts, outcome.status, outcome.retry_after, at, schedule=schedule, chance=chance
    )
    if following is None:
        return {"state": "given_up", "closed_at": at, "attempts": Webhook.attempts + 1}
    return {"due_at": following, "attempts": Webhook.attempts + 1} | asked


def _sign(outcome: Outcome) -> breakers.Sign:
    failed = None if outcome.well else breakers.why(outcome.status, outcome.detail)
    return breakers.Sign(outcome.claim.endpoint_id, failed, outcome.claim.probe, outcome.ours)


def _due(endpoint_id: int, most: int, at: datetime, *, probe: bool) -> Sequence[Any]:
    """The endpoint's events that may be claimed, the first due first; for a probe one of all that wait."""
    chosen = _PROBE if probe else _DUE
    values = {"endpoint_id": endpoint_id, "at": at, "most": 1 if probe else most}
    return db.session.connection().execute(chosen[skips_locked(db.engine)], values).all()


def _claimed(rows: Sequence[Any], at: datetime, probed: Container[int]) -> list[Claim]:
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
    return [Claim(**row._mapping, lease=lease, lease_ends=ends, probe=row.endpoint_id in probed) for row in rows]


def _attempt(outcome: Outcome) -> dict[str, Any]:
    return {
        "webhook_id": outcome.claim.id,
        "at": outcome.at,
        "milliseconds": outcome.milliseconds,
        "outcome": str(outcome.status or outcome.failure),
        "detail": outcome.detail[:200],
        "answer": outcome.answer.decode("utf-8", "replace").replace("\0", "\ufffd"),
        "headers": json.dumps(dict(outcome.headers)),
    }


def _ready(row: Any) -> Ready:
    signer = Signer(row.merchant_id, row.version, row.blocked_at is not None)
    return Ready(row.endpoint_id, signer, row.failures is not None, row.held_since is not None)


# Built once: building a statement costs more than SQLite takes to run it.
_AT = bindparam("at", type_=UTCDateTime)
_CLAIMED = ("id", "event_id", "kind", "url", "body", "attempts", "by_hand", "endpoint_id", "created_at", "due_at")


def may_go(webhook: Any) -> ColumnElement[bool]:
    """Whether an event waits for no earlier one of its payment. One sent again by hand neither waits nor is waited
    for."""
    earlier = aliased(Webhook)
    waits = exists().where(
        earlier.payment_id == webhook.payment_id,
        earlier.state == "due",
        earlier.by_hand.is_(False),
        earlier.id < webhook.id,
    )
    return or_(webhook.by_hand.is_(True), ~waits)


def _candidates(*which: Any) -> dict[bool, Select[Any]]:
    """An endpoint's events that wait for no earlier one of their payment; by whether SKIP LOCKED is understood."""
    found = (
        select(*(getattr(Webhook, name) for name in _CLAIMED))
        .where(Webhook.state == "due", Webhook.endpoint_id == bindparam("endpoint_id"), *which)
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
    open_ones = and_(BreakerRow.held_since.is_(None), waiting.c.due_at <= _AT)
    columns = (Merchant.version, Merchant.blocked_at, BreakerRow.failures, BreakerRow.held_since)
    return (
        select(waiting.c.endpoint_id, Endpoint.merchant_id, *columns)
        .join(Endpoint, Endpoint.id == waiting.c.endpoint_id)
        .join(Merchant, Merchant.id == Endpoint.merchant_id)
        .outerjoin(BreakerRow, BreakerRow.endpoint_id == Endpoint.id)
        .where(or_(open_ones, BreakerRow.probe_at <= _AT))
    )


def _by_groups() -> Any:
    """MySQL jumps from group to group in the index (a loose index scan), if it is told all of the index's columns."""
    first = func.min(Webhook.due_at).label("due_at")
    groups = (Webhook.state, Webhook.endpoint_id)
    return select(*groups, first).where(Webhook.state == "due").group_by(*groups).subquery()


def _by_steps() -> Any:
    """SQLite would read all of the index for that, so it is led from endpoint to endpoint."""
    after = aliased(Webhook)
    first = select(func.min(Webhook.endpoint_id).label("endpoint_id")).where(Webhook.state == "due")
    walk = first.cte("walk", recursive=True)
    following = (
        select(after.endpoint_id)
        .where(after.state == "due", after.endpoint_id > walk.c.endpoint_id)
        .order_by(after.endpoint_id)
        .limit(1)
        .scalar_subquery()
    )
    walk = walk.union_all(select(following).where(walk.c.endpoint_id.is_not(None)))
    inner = aliased(Webhook)
    first_due = (
        select(func.min(inner.due_at))
        .where(inner.state == "due", inner.endpoint_id == walk.c.endpoint_id)
        .scalar_subquery()
        .label("due_at")
    )
    return select(walk.c.endpoint_id, first_due).where(walk.c.endpoint_id.is_not(None)).subquery()


_READY = {"mysql": _ready_among(_by_groups()), "sqlite": _ready_among(_by_steps())}
