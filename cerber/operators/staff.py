"""People who decide payments: making them, letting them in, and slowing down who guesses."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from math import ceil

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from cerber.audit import trail
from cerber.context import now, vault
from cerber.db import engines
from cerber.db.engines import db
from cerber.errors import AlreadyExists, InvalidOperator, TooManyLogins, WrongLogin
from cerber.operators.models import FailedLogin, Operator

ROLES = ("operator", "admin")
SHORTEST_PASSWORD = 10
WINDOW = timedelta(minutes=15)
MOST_OF_USERNAME = 5
MOST_OF_ADDRESS = 20
TOTP_SECONDS = 30

_USERNAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_hasher = PasswordHasher()


@engines.transaction
def add(username: str, password: str, role: str, actor: str) -> None:
    """A new operator, without a second factor. Raises InvalidOperator and AlreadyExists."""
    if not _USERNAME.fullmatch(username):
        raise InvalidOperator("The username must have 1 to 64 letters, digits, dots, dashes or underscores.")
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidOperator(f"The password must have at least {SHORTEST_PASSWORD} characters.")
    if role not in ROLES:
        raise InvalidOperator(f"The role must be one of: {', '.join(ROLES)}.")
    db.session.add(
        Operator(
            username=username,
            password_hash=_hasher.hash(password),
            role=role,
            session_key=secrets.token_hex(16),
            created_at=now(),
        )
    )
    try:
        db.session.flush()
    except IntegrityError:
        raise AlreadyExists(f"There is an operator {username} already.") from None
    trail.note(now(), actor, "operator_added", username=username, role=role)


def log_in(username: str, password: str, totp: str, address: str) -> Operator:
    """The operator whose name, password and code these are. Raises WrongLogin and TooManyLogins.

    The attempt counts as failed before anything is checked, and is forgotten when it succeeds: so a hundred guesses
    at once get no more tries than one after the other. The password is checked outside of any transaction.
    """
    attempt = _begin_attempt(username[:64], address[:64])
    operator, nobodys = _by_username(username), _nobodys_hash()
    fits = _fits(operator.password_hash if operator else nobodys, password)
    if operator is None or not fits or not _code_fits(operator, totp):
        raise WrongLogin("The username, the password or the code is wrong.")
    _forget_attempt(attempt)
    return operator


@engines.transaction
def end_sessions(operator_id: int) -> None:
    """Logs the operator out everywhere: a cookie that somebody kept opens nothing any more."""
    renewed = update(Operator).where(Operator.id == operator_id).values(session_key=secrets.token_hex(16))
    db.session.execute(renewed, execution_options=engines.NO_SYNC)


def find(operator_id: int, session_key: str) -> Operator | None:
    """Whose session this is; None where the operator is gone or the sessions were ended."""
    with engines.reading() as session:
        operator = session.get(Operator, operator_id)
    if operator is None or not hmac.compare_digest(operator.session_key.encode(), session_key.encode()):
        return None
    return operator


def list_all() -> Sequence[Operator]:
    with engines.reading() as session:
        return session.scalars(select(Operator).order_by(Operator.username)).all()


@cache
def _nobodys_hash() -> str:
    """Checked where there is no such operator, so that the answer takes as long. Nobody knows its password.

    Not made at import: it takes 64 MB for a moment, and a worker logs nobody in.
    """
    return _hasher.hash(secrets.token_urlsafe(32))


def _by_username(username: str) -> Operator | None:
    if not _USERNAME.fullmatch(username):  # MySQL would take `anna ` for `anna`
        return None
    with engines.reading() as session:
        return session.scalars(select(Operator).where(Operator.username == username)).one_or_none()


def _fits(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


@engines.transaction
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


@engines.transaction
def _forget_attempt(attempt: int) -> None:
    db.session.execute(delete(FailedLogin).where(FailedLogin.id == attempt))


def _code_fits(operator: Operator, code: str) -> bool:
    """Whether the code is right, where one is set up: of this time step or a neighbour, each step once."""
    if operator.totp_sealed is None:
        return True
    totp = pyotp.TOTP(vault().open(operator.totp_sealed), interval=TOTP_SECONDS)
    present = int(now().timestamp()) // TOTP_SECONDS
    for step in (present - 1, present, present + 1):
        right = totp.at(step * TOTP_SECONDS)
        if hmac.compare_digest(right.encode(), code.strip().encode()) and _use_step(operator.id, step):
            return True
    return False


@engines.transaction
def _use_step(operator_id: int, step: int) -> bool:
    unused = or_(Operator.totp_step.is_(None), Operator.totp_step < step)
    used = db.session.execute(update(Operator).where(Operator.id == operator_id, unused).values(totp_step=step))
    return isinstance(used, CursorResult) and used.rowcount == 1
