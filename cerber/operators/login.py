"""Letting operators in, and slowing down who guesses."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp
from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult

from cerber import machine
from cerber.context import now, settings, vault
from cerber.db import transactions
from cerber.db.engines import db
from cerber.errors import LoginBusy, WrongLogin
from cerber.operators import attempts, passwords
from cerber.operators.attempts import Attempt
from cerber.operators.models import Operator
from cerber.operators.staff import USERNAME

TOTP_SECONDS = 30
BUSY_SECONDS = 1  # after which who found somebody else logging in may try again


def log_in(username: str, password: str, totp: str, address: str, device: str | None = None) -> Operator:
    """The operator whose name, password and code these are. Raises WrongLogin and TooManyLogins.

    `device` is the id of one that has logged in with this name before. Strangers have one hash at a time on a
    machine, and known devices another: a try costs 160 ms of a core and 65 MB. Who finds it taken is told to come
    again, and nobody waits in a worker. The password is checked outside of any transaction.
    """
    attempt = Attempt.of(username, address, device)
    attempts.check(attempt)
    with machine.turn(f"log-in {settings().database_url} {device is None}") as ours:
        if not ours:
            raise LoginBusy(BUSY_SECONDS)
        return _try(attempt, password, totp)


def _try(attempt: Attempt, password: str, totp: str) -> Operator:
    key = attempts.begin(attempt)
    operator = _by_username(attempt.username)
    fits = passwords.fits(operator.password_hash if operator else passwords.nobodys_hash(), password)
    if operator is None or operator.disabled_at or not fits or not _take_code(operator, totp):
        attempts.failed(key, attempt)
        raise WrongLogin("The username, the password or the code is wrong.")
    attempts.succeeded(key)
    return operator


def _by_username(username: str) -> Operator | None:
    if not USERNAME.fullmatch(username):  # MySQL would take `anna ` for `anna`
        return None
    with transactions.reading() as session:
        return session.scalars(select(Operator).where(Operator.username == username)).one_or_none()


def _take_code(operator: Operator, code: str) -> bool:
    """Whether the code was right and is now used up, where one is set up; true where none is."""
    if operator.totp_sealed is None:
        return True
    step = _step_of(vault().open(operator.totp_sealed), code.strip(), now())
    return step is not None and _use_step(operator.id, step)


def _step_of(secret: str, code: str, at: datetime) -> int | None:
    """The time step whose code this is, of the present one and its neighbours."""
    totp = pyotp.TOTP(secret, interval=TOTP_SECONDS)
    present = int(at.timestamp()) // TOTP_SECONDS
    codes = {step: totp.at(step * TOTP_SECONDS) for step in (present - 1, present, present + 1)}
    found = [step for step, right in codes.items() if hmac.compare_digest(right.encode(), code.encode())]
    return found[-1] if found else None


@transactions.transaction
def _use_step(operator_id: int, step: int) -> bool:
    """Each step lets in once, and none does after a later one."""
    unused = or_(Operator.totp_step.is_(None), Operator.totp_step < step)
    used = db.session.execute(update(Operator).where(Operator.id == operator_id, unused).values(totp_step=step))
    return isinstance(used, CursorResult) and used.rowcount == 1
