"""What `doctor` and /health look at: is everything there that a running gateway needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import column, func, inspect, select, table

from cerber.config import ROOT
from cerber.context import now, settings
from cerber.database import OUTAGES, db, reading
from cerber.models import Wallet, Webhook, Worker

_VERSION = table("alembic_version", column("version_num"))
HEARTBEAT_LATE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ages in seconds; None where there is no worker yet, or nothing due."""

    database: bool
    schema: bool
    heartbeat_age: float | None
    oldest_due_age: float | None

    @property
    def ready(self) -> bool:
        return self.database and self.schema


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, whether it is well, and what to do where it isn't."""

    name: str
    ok: bool
    message: str


def readiness() -> Readiness:
    """Whether requests can be served. Never raises for a database that is away."""
    try:
        if not schema_is_current():
            return Readiness(True, False, None, None)
        with reading() as session:
            beat = session.scalar(select(func.max(Worker.heartbeat_at)))
            due = session.scalar(select(func.min(Webhook.due_at)).where(Webhook.state == "due"))
    except OUTAGES:
        return Readiness(False, False, None, None)
    return Readiness(True, True, _age(beat), None if due is None else max(_age(due) or 0.0, 0.0))


def schema_is_current() -> bool:
    """Whether the database is at the newest migration. Raises one of OUTAGES where there is no database."""
    with db.engines["reads"].connect() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return False
        return set(connection.scalars(select(_VERSION.c.version_num))) == _heads()


def diagnose() -> list[Finding]:
    """Everything that `flask doctor` tells, the good too."""
    state = readiness()
    if not state.database:
        return [Finding("database", False, "can't be reached: check CERBER_DATABASE_URL and that the server runs")]
    findings = [Finding("database", True, "reachable")]
    if not state.schema:
        return [*findings, Finding("schema", False, "not current: run `flask db upgrade`")]
    return [*findings, Finding("schema", True, "current"), _worker(state), _wallets(), _callbacks()]


def _worker(state: Readiness) -> Finding:
    if state.heartbeat_age is None:
        return Finding("worker", False, "none has ever run: start `flask deliver`")
    late = state.heartbeat_age > HEARTBEAT_LATE.total_seconds()
    seen = f"last seen {state.heartbeat_age:.0f} s ago"
    return Finding("worker", not late, f"{seen}: start `flask deliver`" if late else seen)


def _wallets() -> Finding:
    with reading() as session:
        active = session.scalar(select(func.count()).select_from(Wallet).where(Wallet.paused_at.is_(None)))
    if not active:
        return Finding("wallets", False, "none is active: `flask wallet add NUMBER LINK`")
    return Finding("wallets", True, f"{active} active")


def _callbacks() -> Finding:
    if settings().allow_private_callbacks and settings().on_pythonanywhere:
        message = "CERBER_ALLOW_PRIVATE_CALLBACKS=1 is for development only: unset it"
        return Finding("callbacks", False, message)
    return Finding("callbacks", True, "guarded" if not settings().allow_private_callbacks else "private ones allowed")


@cache
def _heads() -> set[str]:
    """The newest migrations, read off their files: a web process needs no Alembic in its memory for that."""
    scripts = [path.read_text() for path in (ROOT / "migrations" / "versions").glob("*.py")]
    revisions = {match for text in scripts for match in re.findall(r"^revision = ['\"](.+)['\"]", text, re.M)}
    parents = {match for text in scripts for match in re.findall(r"^down_revision = ['\"](.+)['\"]", text, re.M)}
    return revisions - parents


def _age(moment: datetime | None) -> float | None:
    return None if moment is None else (now() - moment).total_seconds()
