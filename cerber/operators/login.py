"""Letting operators in, and slowing down who guesses."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from math import ceil

import pyotp
from sqlalchemy import delete, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import InstrumentedAttribute

from cerber.context import now, vault
from cerber.db import transactions
from cerber.db.engines import db
from cerber.errors import TooManyLogins, WrongLogin
from cerber.operators import passwords
from cerber.operators.models import FailedLogin, Operator
from cerber.operators.staff import USERNAME

WINDOW = timedelta(minutes=15)


MOST_OF_USERNAME = 5


MOST_OF_ADDRESS = 20


TOTP_SECONDS = 30


def log_in(username: str, password: str, totp: str, address: str) -> Operator:
    """The operator whose name, password and code these are. Raises WrongLogin and TooManyLogins.

    The attempt counts as failed before anything is checked, and is forgotten when it succeeds: so a hundred guesses
    at once get no more tries than one after the other. The password is checked outside of any transaction.
    """
    attempt = _begin_attempt(username[:64], address[:64])
    operator, nobodys = _by_username(username), passwords.nobodys_hash()
    fits = passwords.fits(operator.password_hash if operator else nobodys, password)
    if operator is None or not fits or not _take_code(operator, totp):
        raise WrongLogin("The username, the password or the code is wrong.")
    _forget_attempt(attempt)
    return operator


@transactions.transaction
def end_sessions(operator_id: int) -> None:
    """Logs the operator out everywhere: a cookie that somebody kept opens nothing any more."""
    renewed = update(Operator).where(Operator.id == operator_id).values(session_key=secrets.token_hex(16))
    db.session.execute(renewed, execution_options=transactions.NO_SYNC)


def find(operator_id: int, session_key: str) -> Operator | None:
    """Whose session this is; None where the operator is gone or the sessions were ended."""
    with transactions.reading() as session:
        operator = session.get(Operator, operator_id)
    if operator is None or not hmac.compare_digest(operator.session_key.encode(), session_key.encode()):
        return None
    return operator


def _by_username(username: str) -> Operator | None:
    if not USERNAME.fullmatch(username):  # MySQL would take `anna ` for `anna`
        return None
    with transactions.reading() as session:
        return session.scalars(select(Operator).where(Operator.username == username)).one_or_none()


@transactions.transaction
def _begin_attempt(username: str, address: str) -> int:
    db.session.execute(select(Operator.id).order_by(Operator.id).with_for_update())  # on MySQL: one after the other
    moment = now()
    db.session.execute(delete(FailedLogin).where(FailedLogin.at <= moment - WINDOW))
    free_at = max(
        _free_at(FailedLogin.username, username, MOST_OF_USERNAME, moment),
        _free_at(FailedLogin.address, address, MOST_OF_ADDRESS, moment),
    )
    if free_at > moment:
        raise TooManyLogins(ceil((free_at - moment).total_seconds()))
    attempt = FailedLogin(username=username, address=address, at=moment)
    db.session.add(attempt)
    db.session.flush()
    return attempt.id


def _free_at(column: InstrumentedAttribute[str], value: str, most: int, moment: datetime) -> datetime:
    """When fewer than `most` of the attempts with this value lie within the window."""
    recent = select(FailedLogin.at).where(column == value).order_by(FailedLogin.at.desc())
    oldest_counted = db.session.scalars(recent.offset(most - 1).limit(1)).first()
    return moment if oldest_counted is None else oldest_counted + WINDOW


@transactions.transaction
def _forget_attempt(attempt: int) -> None:
    db.session.execute(delete(FailedLogin).where(FailedLogin.id == attempt))


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
