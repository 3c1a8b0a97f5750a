"""People who decide payments: making them, letting them in, and slowing down who guesses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cerber.audit import trail
from cerber.context import now
from cerber.db import transactions
from cerber.db.engines import db
from cerber.errors import AlreadyExists, InvalidOperator
from cerber.operators import passwords
from cerber.operators.models import Operator, Role

USERNAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check(username: str, password: str, role: str) -> None:
    """Raises InvalidOperator, which says what is wrong, for a name, password or role that we don't take."""
    if not USERNAME.fullmatch(username):
        raise InvalidOperator("The username must have 1 to 64 letters, digits, dots, dashes or underscores.")
    check_password(password, username)
    if role not in tuple(Role):
        raise InvalidOperator(f"The role must be one of: {', '.join(Role)}.")


def check_password(password: str, username: str) -> None:
    """Raises InvalidOperator for one that is guessed first."""
    if mistake := passwords.mistake(password, username):
        raise InvalidOperator(f"The password {mistake}.")


@transactions.transaction
def add(username: str, password: str, role: str, actor: str) -> None:
    """A new operator, without a second factor. Raises InvalidOperator and AlreadyExists."""
    check(username, password, role)
    db.session.add(
        Operator(
            username=username,
            password_hash=passwords.hashed(password),
            role=Role(role),
            session_key=secrets.token_hex(16),
            created_at=now(),
        )
    )
    try:
        db.session.flush()
    except IntegrityError:
        raise AlreadyExists(f"There is an operator {username} already.") from None
    trail.note(now(), actor, "operator_added", username=username, role=role)


def list_all() -> Sequence[Operator]:
    with transactions.reading() as session:
        return session.scalars(select(Operator).order_by(Operator.username)).all()
