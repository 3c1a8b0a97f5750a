"""Tries to log in: which may be made now, and what is kept of those that failed. In a table, since the web processes
of several machines share no memory.

Strangers' tries are counted by name, by address and all together. Those of a device that has logged in with that
name before are counted by themselves, so that nobody else's failures keep its owner out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cerber import addresses
from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import NO_SYNC, reading, transaction
from cerber.errors import TooManyLogins
from cerber.operators import delays
from cerber.operators.delays import Failures
from cerber.operators.models import FailedLogin, Operator

PRUNED_AT_ONCE = 200
STRANGER = "stranger"  # the actor of a failed log-in


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries. `device`: the id of one that has logged in with this name before; None for a strange one."""

    username: str
    address: str
    device: str | None

    @classmethod
    def of(cls, username: str, address: str, device: str | None) -> Attempt:
        """As it is counted: a /64 of IPv6 is one address."""
        return cls(username[:64], addresses.one_party(address)[:64], device)


def check(attempt: Attempt) -> None:
    """Raises TooManyLogins where it is too early. A read: who is told to wait writes nothing, and holds nobody up."""
    with reading() as session:
        _check(session, attempt, now())


def failures(within: timedelta) -> int:
    """How many tries failed, or are under way, since so long ago; of the last day at most."""
    since = FailedLogin.at > now() - within
    with reading() as session:
        return session.scalar(select(func.count()).select_from(FailedLogin).where(since)) or 0


@transaction
def begin(attempt: Attempt) -> int:
    """Counts the try as failed before anything is looked at, so that a hundred at once get no more tries than one
    after the other. Its key. Raises TooManyLogins."""
    _one_after_the_other()
    moment = now()
    prune(moment, PRUNED_AT_ONCE)
    _check(db.session(), attempt, moment)
    row = FailedLogin(username=attempt.username, address=attempt.address, device=attempt.device, at=moment)
    db.session.add(row)
    db.session.flush()
    return row.id


@transaction
def succeeded(key: int) -> None:
    """Forgets the try: it was none that failed."""
    db.session.execute(delete(FailedLogin).where(FailedLogin.id == key), execution_options=NO_SYNC)


@transaction
def failed(key: int, attempt: Attempt) -> None:
    """Tells the audit log, once for a name and an address in a quarter of an hour."""
    _one_after_the_other()
    moment = now()
    told = select(FailedLogin.id).where(
        FailedLogin.username == attempt.username,
        FailedLogin.at >= delays.quarter_of(moment),
        FailedLogin.address == attempt.address,
        FailedLogin.told.is_(True),
    )
    row = db.session.get(FailedLogin, key)
    if row is not None and db.session.scalars(told.limit(1)).first() is None:
        row.told = True
        who = {"username": attempt.username, "address": attempt.address}
        trail.note(moment, STRANGER, "login_failed", None, **who, known_device=attempt.device is not None)


def _check(session: Session, attempt: Attempt, at: datetime) -> None:
    of_name = FailedLogin.username == attempt.username
    if attempt.device is not None:
        wait = _failures(session, at, of_name, FailedLogin.device == attempt.device).wait(delays.FREE_OF_NAME, at)
    else:
        by_address = _failures(session, at, FailedLogin.address == attempt.address, FailedLogin.device.is_(None))
        wait = max(
            _failures(session, at, of_name, FailedLogin.device.is_(None)).wait(delays.FREE_OF_NAME, at),
            by_address.wait(delays.FREE_OF_ADDRESS, at),
            _wait_of_all(session, at),
        )
    if wait > timedelta():
        raise TooManyLogins(ceil(wait.total_seconds()))


def _failures(session: Session, at: datetime, *which: ColumnElement[bool]) -> Failures:
    found = select(func.count(), func.max(FailedLogin.at)).where(*which, FailedLogin.at > at - delays.REMEMBERED)
    return Failures(*session.execute(found).one())


def _wait_of_all(session: Session, at: datetime) -> timedelta:
    recent = (FailedLogin.device.is_(None), FailedLogin.at > at - delays.MINUTE)
    number, oldest = session.execute(select(func.count(), func.min(FailedLogin.at)).where(*recent)).one()
    return delays.wait_of_all(number, oldest, at)


def _one_after_the_other() -> None:
    """On MySQL, by the rows of all operators: there is no row yet for what is counted. SQLite has one lock anyway."""
    db.session.execute(select(Operator.id).order_by(Operator.id).with_for_update())


def prune(at: datetime, most: int) -> int:
    """Forgets what is a day old, in the caller's transaction. How many. A try does it too, of more than it adds."""
    old = select(FailedLogin.id).where(FailedLogin.at <= at - delays.REMEMBERED).order_by(FailedLogin.at)
    keys = db.session.scalars(old.limit(most)).all()
    if keys:
        db.session.execute(delete(FailedLogin).where(FailedLogin.id.in_(keys)), execution_options=NO_SYNC)
    return len(keys)
