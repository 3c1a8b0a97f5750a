"""The table of the figures that `/metrics` shows (`series.py` has the rules): workers add to it, and any web process
reads it, so it is right under many.

A worker counts in memory, and adds what it counted to the table `figures` each second in which there is something
new, and when it stops. One that is killed (SIGKILL, a power cut) loses what its last second made. The events
themselves are in the outbox and lose nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Subquery, and_, case, func, null, or_, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import aliased

from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import OUTAGES, reading, transaction
from cerber.timestamps import age
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Figure, Webhook
from cerber.webhooks.worker import heartbeats, series
from cerber.webhooks.worker.claimable import may_go
from cerber.webhooks.worker.delivery import Result
from cerber.webhooks.worker.series import Attempted, Key

ADDED_EVERY = 1.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How it stands. `totals` are the figures; ages are in seconds.

    Of the events that wait: the time of `due` has come, `later` are under way or wait for their next attempt, `held`
    wait until their endpoint is well. `oldest_due` is of those that may be sent now, 0 where there is none: not of
    held ones, nor of those behind an earlier event of their payment. `heartbeat_age` is the youngest worker's.
    """

    totals: Mapping[Key, int]
    due: int
    later: int
    held: int
    oldest_due: float
    breakers_failing: int
    breakers_held: int
    workers_alive: int
    heartbeat_age: float | None


class Uncounted:
    """What one worker has counted and not yet added. One thread may count while another adds."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._next = 0.0
        self._lock = threading.Lock()

    @property
    def due(self) -> bool:
        """Whether there is anything to hand in, and it is time."""
        return bool(self._counts) and time.monotonic() >= self._next

    def note(self, results: Iterable[Result]) -> None:
        """Counts results, after they were recorded: those that never are would be counted with their next attempt
        again."""
        with self._lock:
            for one in results:
                series.tally(self._counts, _attempted(one))

    def hand_in(self, *, at_once: bool = False) -> None:
        """Adds the counts to the table if it is time. With the database away they stay for the next time."""
        if not self._counts or (time.monotonic() < self._next and not at_once):
            return
        self._next = time.monotonic() + ADDED_EVERY
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            add(counts)
        except BaseException as error:
            with self._lock:
                self._counts += counts
            if not isinstance(error, OUTAGES):
                raise
            log.warning("The figures could not be added, and are kept: %s", type(error).__name__)


@transaction
def add(counts: Mapping[Key, int]) -> None:
    """Adds to the running totals, in one statement; its rows in one order, so that no two wait for each other."""
    rows = [{"name": name, "label": label, "value": value} for (name, label), value in sorted(counts.items())]
    db.session.execute(_sum_up(rows))


def read() -> Snapshot:
    """Four statements, however much was delivered. The outbox is read as far as events wait, in one index."""
    at = now()
    with reading() as session:
        totals = {(row.name, row.label): row.value for row in session.execute(select(*_FIGURE))}
        waiting = session.execute(_waiting(at)).one()
        breakers = session.execute(select(func.count(), func.count(Breaker.held_since)).select_from(Breaker)).one()
        alive, last_beat = heartbeats.alive(session, at)
    count, due, held = (int(number or 0) for number in waiting[:3])
    return Snapshot(
        totals=totals,
        due=due,
        later=count - due - held,
        held=held,
        oldest_due=age(waiting.oldest, at) or 0.0,
        breakers_failing=breakers[0] - breakers[1],
        breakers_held=breakers[1],
        workers_alive=alive,
        heartbeat_age=age(last_beat, at),
    )


_FIGURE = (Figure.name, Figure.label, Figure.value)
# MySQL would read past all endpoints' events, for each endpoint anew, to have them in the order of their times.
_BY_ENDPOINT = "FORCE INDEX (ix_webhooks_state_endpoint_id_due_at)"


def _attempted(one: Result) -> Attempted:
    """The first attempt is the first that costs the event one: `attempts` rises with it, so there is just one."""
    claim = one.claim
    return Attempted(
        kind=claim.kind,
        outcome=one.outcome,
        waited=(one.at - claim.created_at).total_seconds(),
        took=one.milliseconds / 1000,
        first=claim.attempts == 0 and one.costs_attempt,
        by_hand=claim.by_hand,
    )


def _sum_up(rows: list[dict[str, Any]]) -> Any:
    if db.engine.dialect.name == "mysql":
        added = mysql.insert(Figure).values(rows)
        return added.on_duplicate_key_update(value=Figure.value + added.inserted.value)
    put = sqlite.insert(Figure).values(rows)
    return put.on_conflict_do_update([Figure.name, Figure.label], set_={"value": Figure.value + put.excluded.value})


def _waiting(at: datetime) -> Select[*tuple[Any, ...]]:
    """How many events wait, are due and are held, and when the first that may be sent was due.

    Counted by endpoint, which is the order of the index. Of an endpoint that is not held only so many events are
    looked at more closely as wait, ahead of the first that doesn't, for an earlier one of their payment.
    """
    by_endpoint = _by_endpoint(at)
    first_due = _first_due(by_endpoint.c.endpoint_id, at)
    holds = and_(Breaker.endpoint_id == by_endpoint.c.endpoint_id, Breaker.held_since.is_not(None))
    is_held = Breaker.endpoint_id.is_not(None)
    each = (
        select(
            by_endpoint.c.events,
            case((is_held, 0), else_=by_endpoint.c.due).label("due"),
            case((is_held, by_endpoint.c.events), else_=0).label("held"),
            case((or_(is_held, by_endpoint.c.due == 0), null()), else_=first_due).label("first"),
        )
        .select_from(by_endpoint)
        .outerjoin(Breaker, holds)
        .subquery()
    )
    sums = (func.sum(each.c[name]) for name in ("events", "due", "held"))
    return select(*sums, func.min(each.c.first).label("oldest"))


def _by_endpoint(at: datetime) -> Subquery:
    """How many events of each endpoint wait, and how many of them are due."""
    due = func.count(case((Webhook.due_at <= at, 1)))
    counted = select(Webhook.endpoint_id, func.count().label("events"), due.label("due"))
    return counted.where(Webhook.state == WebhookState.DUE).group_by(Webhook.endpoint_id).subquery()


def _first_due(endpoint_id: ColumnElement[int], at: datetime) -> ScalarSelect[datetime]:
    """When the first event of an endpoint was due that waits for no other."""
    one = aliased(Webhook)
    return (
        select(one.due_at)
        .where(one.state == WebhookState.DUE, one.endpoint_id == endpoint_id, one.due_at <= at)
        .where(may_go(one))
        .order_by(one.due_at)
        .limit(1)
        .with_hint(one, _BY_ENDPOINT, "mysql")
        .scalar_subquery()
    )
