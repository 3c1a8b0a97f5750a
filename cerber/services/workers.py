"""Heartbeats of the delivery workers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, update

from cerber.context import now
from cerber.database import db, transaction
from cerber.models import Worker

REMEMBERED = timedelta(days=1)


@transaction
def start(name: str) -> int:
    """Notes a worker that starts, and forgets those not seen for a day. Its key."""
    db.session.execute(delete(Worker).where(Worker.heartbeat_at < now() - REMEMBERED))
    worker = Worker(name=name, started_at=now(), heartbeat_at=now())
    db.session.add(worker)
    db.session.flush()
    return worker.id


@transaction
def beat(worker_pk: int) -> None:
    db.session.execute(update(Worker).where(Worker.id == worker_pk).values(heartbeat_at=now()))
