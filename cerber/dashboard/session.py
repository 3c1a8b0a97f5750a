"""Who is logged in."""

from __future__ import annotations

from flask import g
from flask_login import UserMixin, current_user

from cerber.operators import login
from cerber.operators.models import Operator


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """An operator with a session. The session names the operator's key too: a new key ends all sessions."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def get_id(self) -> str:
        return f"{self.operator.id}:{self.operator.session_key}"


def load(session_id: str) -> SignedIn | None:
    number, _, key = session_id.partition(":")
    operator = login.find(int(number), key)
    return SignedIn(operator) if operator else None


def operator() -> Operator | None:
    """Who asks; kept in `g.operator`. None for a stranger."""
    if "operator" not in g:
        g.operator = current_user.operator if current_user.is_authenticated else None
    found: Operator | None = g.operator
    return found
