"""Who is logged in."""

from __future__ import annotations

from flask import g
from flask_login import UserMixin, current_user

from cerber.operators import sessions
from cerber.operators.models import Operator


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """An operator with a session. The cookie names the operator's key too: a new key ends all sessions."""

    def __init__(self, operator: Operator, token: str) -> None:
        self.operator, self.token = operator, token

    def get_id(self) -> str:
        return f"{self.operator.id}:{self.operator.session_key}:{self.token}"


def load(session_id: str) -> SignedIn | None:
    number, key, token, *_ = [*session_id.split(":"), "", ""]
    operator = sessions.find(int(number), key, token)
    return SignedIn(operator, token) if operator else None


def token() -> str:
    """That of the session in which it is asked."""
    return str(current_user.token)


def operator() -> Operator | None:
    """Who asks; kept in `g.operator`. None for a stranger."""
    if "operator" not in g:
        g.operator = current_user.operator if current_user.is_authenticated else None
    found: Operator | None = g.operator
    return found
