"""The delivery workers: their heartbeats, and what each of them sees to besides sending."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.orm import Session

from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, reading, transaction
from cerber.webhooks.kinds import WebhookState
from cerber.webhooks.models import Breaker, Webhook, Worker
from cerber.webhooks.timings import ALIVE, LEASE
from cerber.webhooks.worker import breakers, pruning

REMEMBERED = timedelta(days=1)
CLOCKS_DIFFER = timedelta(seconds=60)  # more than that, and a clock was set back


@transaction
def start(name: str) -> int:
    """Notes a worker that starts. Its key."""
    worker = Worker(name=name, started_at=now(), heartbeat_at=now())
    db.session.add(worker)
    db.session.flush()
    return worker.id


@transaction
def beat(worker_pk: int) -> None:
    """Says that the worker is alive."""
    db.session.execute(update(Worker).where(Worker.id == worker_pk).values(heartbeat_at=now()))


@transaction
def goodbye(worker_pk: int) -> None:
    """Says that the worker has ended: it is not alive from now on."""
    db.session.execute(update(Worker).where(Worker.id == worker_pk).values(heartbeat_at=now(), stopped_at=now()))


def alive(session: Session, at: datetime) -> tuple[int, datetime | None]:
    """How many are alive, and the youngest heartbeat of those that are remembered."""
    living = func.count(case((and_(Worker.heartbeat_at >= at - ALIVE, Worker.stopped_at.is_(None)), 1)))
    recent = Worker.heartbeat_at >= at - REMEMBERED
    return session.execute(select(living, func.max(Worker.heartbeat_at)).where(recent)).one()


def last_seen() -> Worker | None:
    """The one with the youngest heartbeat, alive or not."""
    with reading() as session:
        return session.scalars(select(Worker).order_by(Worker.heartbeat_at.desc()).limit(1)).first()


def tidy() -> bool:
    """Mends what a clock set back has put off, gives up what was held for too long, and prunes. Whether there is more
    to prune."""
    _mend()
    return pruning.prune()


@transaction
def _mend() -> None:
    _mend_times()
    breakers.give_up_held(now())


def _mend_times() -> None:
    """What was scheduled by a clock that was ahead would wait until the clock is there again. A lease that may be
    alive runs anew instead."""
    at = now()
    ahead = (Webhook.state == WebhookState.DUE, Webhook.due_at > at, Webhook.scheduled_at > at + CLOCKS_DIFFER)
    due = {"due_at": case((Webhook.lease.is_(None), at), else_=at + LEASE), "scheduled_at": at}
    held = update(Breaker).where(Breaker.held_since > at + CLOCKS_DIFFER).values(held_since=at, probe_at=at)
    db.session.execute(held, execution_options=NO_SYNC)  # breakers are locked before events
    db.session.execute(update(Webhook).where(*ahead).values(due), execution_options=NO_SYNC)
