"""What `doctor` and /health look at: is everything there that a running gateway needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from cerber.backups import filling, silence
from cerber.context import now, settings
from cerber.db import schema
from cerber.db.transactions import OUTAGES, read_connection, reading
from cerber.diagnosis import access, files, front, neighbours, sealed
from cerber.ledger import folding
from cerber.operators import attempts
from cerber.payments import pressure, verification
from cerber.timestamps import age, utc_text
from cerber.webhooks import queries
from cerber.webhooks.models import Worker
from cerber.webhooks.worker import claimable, counters, heartbeats
from cerber.webhooks.worker.counters import Snapshot

DUE_LATE = 300.0  # seconds
HOUR = timedelta(hours=1)
MANY_FAILURES = 100  # log-ins in an hour
TOLD_FOR = timedelta(days=1)
# what each database must say to keep over a power cut what it committed, and what that is called
_DURABLE = {
    "mysql": ("SELECT @@innodb_flush_log_at_trx_commit", 1, "innodb_flush_log_at_trx_commit"),
    "sqlite": ("PRAGMA synchronous", 2, "synchronous"),
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ages in seconds; None where no worker runs (one that stopped has said so), or nothing is due. What is held for
    its endpoint does not count."""

    database: bool
    schema: bool
    heartbeat_age: float | None
    oldest_due_age: float | None

    @property
    def ready(self) -> bool:
        return self.database and self.schema


@dataclass(frozen=True, slots=True)
class Delivery:
    """`oldest_due_age` in seconds: of the events that may be sent now, 0 where there is none."""

    workers_alive: int
    oldest_due_age: float

    @property
    def well(self) -> bool:
        return bool(self.workers_alive) and self.oldest_due_age <= DUE_LATE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, whether it is well, and what to do where it isn't."""

    name: str
    ok: bool
    message: str


def readiness() -> Readiness:
    """Whether requests can be served. Never raises for a database that is away."""
    try:
        if not schema.is_current():
            return Readiness(True, False, None, None)
        with reading() as session:
            beat = session.scalar(select(func.max(Worker.heartbeat_at)).where(Worker.stopped_at.is_(None)))
        due = claimable.first_due()
    except OUTAGES:
        return Readiness(False, False, None, None)
    return Readiness(True, True, age(beat, now()), age(due, now()))


def delivery() -> Delivery:
    """Whether webhooks go out. Raises one of OUTAGES where the database is away."""
    snapshot = counters.read()
    return Delivery(snapshot.workers_alive, snapshot.oldest_due)


def diagnose() -> list[Finding]:
    """Everything that `flask doctor` tells, the good too."""
    if why := access.why_away():
        return [Finding("database", False, why)]
    findings = [Finding("database", True, "reachable")]
    if not schema.is_current():
        return [*findings, _old_schema()]
    findings.append(Finding("schema", True, "current"))
    snapshot = counters.read()
    return [
        *findings,
        _writing(),
        _durability(),
        _secrets(),
        _worker(snapshot),
        _outbox(snapshot),
        _mistakes(),
        _books(),
        *(Finding(name, *told) for name, told in neighbours.told(pressure.read()).items()),
        _callbacks(),
        _logins(),
        _front(),
        _files(),
    ]


def _old_schema() -> Finding:
    with read_connection() as connection:
        unfinished = filling.is_unfinished(connection)
    what = "half of a copy, which was cut off: run `flask restore` or `flask copy-to` again" if unfinished else None
    return Finding("schema", False, what or "not current: run `flask db upgrade`")


def _writing() -> Finding:
    """Whether a change is taken, and for how long the disk has room where it is ours to look at."""
    if why := access.why_not_written():
        return Finding("writing", False, why)
    megabytes = access.free_megabytes()
    if megabytes is not None and megabytes < access.LEAST_MEGABYTES:
        message = f"only {megabytes} MB are free on the database's disk: make room, or no payment can be taken soon"
        return Finding("writing", False, message)
    return Finding("writing", True, "works" if megabytes is None else f"works; {megabytes} MB are free")


def _durability() -> Finding:
    """Whether what was committed outlives a power cut."""
    with read_connection() as connection:
        question, wanted, name = _DURABLE[connection.dialect.name]
        found = connection.exec_driver_sql(question).scalar()
    if found != wanted:
        message = f"{name} is {found}, so a power cut may lose payments: set it to {wanted} in the server's settings"
        return Finding("durability", False, message)
    return Finding("durability", True, f"{name} is {found}: what was committed outlives a power cut")


def _secrets() -> Finding:
    """Whether the keys open what they must: with a lost or wrong key every merchant is refused."""
    found = sealed.look()
    if found.shut:
        message = f"{found.shut} of {found.count} can't be opened: put the key that sealed them back into "
        return Finding("secrets", False, message + "CERBER_ENCRYPTION_KEYS, after the first one")
    if found.older:
        message = (
            f"{found.older} of {found.count} are under an older key: `flask secrets rotate-keys`, then it may go"
        )
        return Finding("secrets", True, message)
    return Finding("secrets", True, f"{found.count}, all of them opened by the first key")


def _worker(snapshot: Snapshot) -> Finding:
    if why := silence.reason():
        return Finding("worker", False, f"{why}: `flask deliver --go-on` delivers from here again")
    last = heartbeats.last_seen()
    if last is None:
        return Finding("worker", False, "none has ever run: start `flask deliver`")
    what = "was seen last" if last.stopped_at is None else "stopped last"
    seen = f"{last.name} {what}, {age(last.heartbeat_at, now()):.0f} s ago"
    seen += f" (started {utc_text(last.started_at, 'seconds')})"
    if not snapshot.workers_alive:
        return Finding("worker", False, f"none is alive, {seen}: start `flask deliver`")
    return Finding("worker", True, f"{snapshot.workers_alive} alive, {seen}")


def _outbox(snapshot: Snapshot) -> Finding:
    """Of events that may be sent now: what waits for an earlier event or for a held endpoint is no worker's fault."""
    message = f"the oldest event that may be sent has been due for {snapshot.oldest_due:.0f} s"
    if snapshot.oldest_due > DUE_LATE:
        return Finding("outbox", False, f"{message}: start `flask deliver`, or more threads or workers")
    return Finding("outbox", True, message if snapshot.oldest_due else "nothing that may be sent is due")


def _mistakes() -> Finding:
    """Events whose attempts end in an exception that nobody foresaw."""
    waiting, given_up = queries.unforeseen(now() - TOLD_FOR)
    if waiting or given_up:
        message = f"{waiting} events wait and {given_up} were given up since yesterday after failures nobody foresaw"
        return Finding("mistakes", False, f"{message}: the worker's log has the traceback, which is for a developer")
    return Finding("mistakes", True, "no attempt failed in a way that nobody foresaw")


def _books() -> Finding:
    """Of a sample whether the books agree; and whether somebody folds, without whom balances get slow."""
    if wrong := verification.sample():
        return Finding("books", False, f"{verification.described(wrong[0])}: run `flask balance verify --repair`")
    waits, oldest = folding.backlog()
    seconds = age(oldest, now()) or 0.0
    message = f"a sample agrees; {waits} entries wait to be added to the sums, the oldest for {seconds:.0f} s"
    if seconds > DUE_LATE:
        return Finding("books", False, f"{message}, and balances get slow: start `flask deliver`")
    return Finding("books", True, message if waits else "a sample agrees")


def _callbacks() -> Finding:
    if settings().allow_private_callbacks and settings().on_pythonanywhere:
        message = "CERBER_ALLOW_PRIVATE_CALLBACKS=1 is for development only: unset it"
        return Finding("callbacks", False, message)
    return Finding("callbacks", True, "guarded" if not settings().allow_private_callbacks else "private ones allowed")


def _logins() -> Finding:
    """Whether somebody guesses passwords."""
    number = attempts.failures(HOUR)
    message = f"{number} failed in the last hour"
    if number > MANY_FAILURES:
        return Finding(
            "log-ins", False, f"{message}: somebody guesses. CERBER_DESK_NETWORKS keeps the pages to your networks"
        )
    return Finding("log-ins", True, message)


def _front() -> Finding:
    """Whether a proxy stands in front where one is needed, and is believed."""
    mistake = front.mistake()
    number = settings().trusted_proxies
    believed = f"what {number} in front say of visitors is believed" if number else "no proxy is believed, or needed"
    return Finding("front", mistake is None, mistake or believed)


def _files() -> Finding:
    """Whether others on this machine can read the settings or the database."""
    found = files.open_to_others()
    if not found:
        return Finding("files", True, "settings and database are their owner's alone, as far as they are files here")
    return Finding("files", False, f"others can open {found[0]}: {' && '.join(map(files.remedy, found))}")
