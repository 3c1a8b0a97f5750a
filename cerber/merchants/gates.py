"""A merchant's gate: who wants to know how much it has, and to add to it, locks this first of all."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from cerber.db.engines import db
from cerber.merchants.models import Gate

_OWN = select(Gate.merchant_id).where(Gate.merchant_id == bindparam("merchant"))
_ALONE, _SHARED = _OWN.with_for_update(), _OWN.with_for_update(read=True)


def hold(merchant_pk: int, *, alone: bool) -> None:
    """Locks the gate until the caller's transaction ends, as its first lock. Who is `alone` waits for all others, and
    all others for them; on SQLite, whose transactions hold its one lock, everybody is."""
    connection = db.session.connection()  # a transaction of SQLite begins here
    if db.engine.dialect.name != "sqlite":
        connection.execute(_ALONE if alone else _SHARED, {"merchant": merchant_pk})
