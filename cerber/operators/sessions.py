"""Sessions of operators: each ends by itself, all of one operator end at once, and a cookie that was kept opens
nothing any more."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

from sqlalchemy import delete, select, update

from cerber.context import now
from cerber.db import transactions
from cerber.db.engines import db
from cerber.operators.models import Operator, OperatorSession

LONGEST = timedelta(days=7)  # however busy it is; an idle one ends with its cookie


@transactions.transaction
def begin(operator_id: int) -> str:
    """A new session, and what its cookie has to name. Forgets those of the operator that are over."""
    old = delete(OperatorSession).where(
        OperatorSession.operator_id == operator_id, OperatorSession.began_at <= now() - LONGEST
    )
    db.session.execute(old, execution_options=transactions.NO_SYNC)
    token = secrets.token_hex(16)
    db.session.add(OperatorSession(operator_id=operator_id, token=token, began_at=now()))
    return token


@transactions.transaction
def end(token: str) -> None:
    """This one alone."""
    one = delete(OperatorSession).where(OperatorSession.token == token)
    db.session.execute(one, execution_options=transactions.NO_SYNC)


@transactions.transaction
def end_all(operator_id: int) -> None:
    """Logs the operator out everywhere."""
    renewed = update(Operator).where(Operator.id == operator_id).values(session_key=secrets.token_hex(16))
    db.session.execute(renewed, execution_options=transactions.NO_SYNC)
    all_of_them = delete(OperatorSession).where(OperatorSession.operator_id == operator_id)
    db.session.execute(all_of_them, execution_options=transactions.NO_SYNC)


def find(operator_id: int, session_key: str, token: str) -> Operator | None:
    """Whose session this is; None where it is over, or the operator is gone or disabled."""
    alive = (OperatorSession.token == token, OperatorSession.began_at > now() - LONGEST)
    query = select(Operator).join(OperatorSession, OperatorSession.operator_id == Operator.id)
    with transactions.reading() as session:
        operator = session.scalars(query.where(Operator.id == operator_id, *alive)).one_or_none()
    if (
        operator is None
        or operator.disabled_at
        or not hmac.compare_digest(operator.session_key.encode(), session_key.encode())
    ):
        return None
    return operator
