"""Who is logged in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import g
from flask_login import UserMixin, current_user

from cerber.context import now
from cerber.operators import login
from cerber.operators.models import Operator

LONGEST = timedelta(days=7)  # since the log-in, however busy the session is


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """An operator with a session, since a time. The session names the operator's key too: a new key ends all
    sessions."""

    def __init__(self, operator: Operator, since: datetime) -> None:
        self.operator = operator
        self._since = since

    def get_id(self) -> str:
        return f"{self.operator.id}:{self.operator.session_key}:{int(self._since.timestamp())}"


def load(session_id: str) -> SignedIn | None:
    """Whose session this is; None where it was ended or is too old."""
    number, _, rest = session_id.partition(":")
    key, _, seconds = rest.partition(":")
    since = datetime.fromtimestamp(int(seconds or "0"), UTC)  # "0": made before sessions had an end
    operator = login.find(int(number), key) if now() - since < LONGEST else None
    return SignedIn(operator, since) if operator else None


def operator() -> Operator | None:
    """Who asks; kept in `g.operator`. None for a stranger."""
    if "operator" not in g:
        g.operator = current_user.operator if current_user.is_authenticated else None
    found: Operator | None = g.operator
    return found
