"""Changes to an operator's account. Each ends the operator's sessions, and the last admin who can log in stays one.

All of them raise NotFound for a name that nobody has, and InvalidOperator for what can't be.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select

from cerber.audit import trail
from cerber.context import now
from cerber.db.engines import db
from cerber.db.transactions import transaction
from cerber.errors import InvalidOperator, NotFound
from cerber.operators import passwords, staff
from cerber.operators.models import Operator, Role


def set_password(username: str, password: str, actor: str) -> None:
    """A new one. It is hashed before the transaction begins: a tenth of a second in which nobody has to wait."""
    staff.check_password(password, username)
    _keep_hash(username, passwords.hashed(password), actor)


@transaction
def _keep_hash(username: str, password_hash: str, actor: str) -> None:
    with _changing(username) as operator:
        operator.password_hash = password_hash
    trail.note(now(), actor, "operator_password_changed", username=username)


@transaction
def set_role(username: str, role: Role, actor: str) -> None:
    """Makes an operator an admin, or an admin an operator."""
    with _changing(username) as operator:
        before, operator.role = operator.role, role
    trail.note(now(), actor, "operator_role_changed", username=username, before=before, role=role)


@transaction
def disable(username: str, actor: str) -> None:
    """Lets the operator in no more; who is disabled already stays so since then."""
    with _changing(username) as operator:
        operator.disabled_at = operator.disabled_at or now()
    trail.note(now(), actor, "operator_disabled", username=username)


@transaction
def enable(username: str, actor: str) -> None:
    """Lets a disabled operator in again, with the password as it was."""
    with _changing(username) as operator:
        operator.disabled_at = None
    trail.note(now(), actor, "operator_enabled", username=username)


@transaction
def reset_totp(username: str, actor: str) -> None:
    """Takes the second factor away, for who has lost the phone."""
    with _changing(username) as operator:
        operator.totp_sealed = operator.totp_step = None
    trail.note(now(), actor, "operator_totp_reset", username=username)


@transaction
def remove(username: str, actor: str) -> None:
    """Takes the account away. What the operator decided keeps the name."""
    with _changing(username) as operator:
        db.session.delete(operator)
    trail.note(now(), actor, "operator_removed", username=username)


@contextmanager
def _changing(username: str) -> Iterator[Operator]:
    """The operator, whose sessions end. All are locked, so that no two admins take each other's place at once."""
    everyone = db.session.scalars(select(Operator).order_by(Operator.id).with_for_update()).all()
    operator = next((one for one in everyone if one.username == username), None)
    if operator is None:
        raise NotFound(f"There is no operator {username}.")
    had_admin = any(_is_admin(one) for one in everyone)
    operator.session_key = secrets.token_hex(16)
    yield operator
    db.session.flush()
    if had_admin and not any(_is_admin(one) for one in db.session.scalars(select(Operator))):
        raise InvalidOperator("This is the last admin who can log in: make another one first.")


def _is_admin(operator: Operator) -> bool:
    return operator.role is Role.ADMIN and operator.disabled_at is None
