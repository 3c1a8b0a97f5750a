"""Entries become sums: a batch in one transaction, by any worker, as many of them as there are.

Until then a balance adds the entries themselves, so it is right with no worker alive, too. An entry is marked in the
transaction that adds it to the sums: one that dies before its commit has done nothing, and no entry is added twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, func, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from cerber.db.engines import db, skips_locked
from cerber.db.transactions import NO_SYNC, OUTAGES, read_connection, transaction
from cerber.ledger import periods
from cerber.ledger.accounts import NOTHING, Accounts, total
from cerber.ledger.models import LedgerEntry, LedgerSum

AT_ONCE = 500  # on SQLite others wait to write meanwhile: some ms

Key = tuple[int, int, datetime]
"""Of a sum: merchant, width in hours, start."""

log = logging.getLogger(__name__)

_ACCOUNTS = tuple(getattr(LedgerEntry, name) for name in Accounts._fields)
_UNFOLDED = LedgerEntry.unfolded_merchant_id.is_not(None)
_WAITS = select(exists().where(_UNFOLDED))
_BACKLOG = select(func.count(), func.min(LedgerEntry.at)).where(_UNFOLDED)
_TAKE = select(LedgerEntry.id, LedgerEntry.unfolded_merchant_id, LedgerEntry.hour, *_ACCOUNTS).where(_UNFOLDED)


def fold_all(seconds: float = 1.0) -> int:
    """Folds what waits, batch by batch, for so many seconds at most. How many entries.

    What can't be folded is told, and tried again the next time: a balance is right without it.
    """
    ends, folded = time.monotonic() + seconds, 0
    try:
        while more := fold():
            folded += more
            if time.monotonic() >= ends:
                break
    except OUTAGES:
        raise
    except SQLAlchemyError:
        log.exception("The entries of the ledger can't be folded")
    return folded


def fold() -> int:
    """Folds a batch of entries, if any wait. How many."""
    with read_connection() as connection:  # looked at first: a transaction would make SQLite's writers wait
        waits = connection.scalar(_WAITS)
    return _fold() if waits else 0


def backlog() -> tuple[int, datetime | None]:
    """How many entries wait to be folded, and when the oldest of them was made."""
    with read_connection() as connection:
        count, oldest = connection.execute(_BACKLOG).one()
    return count, oldest


def add(sums: dict[Key, Accounts]) -> None:
    """Adds to the sums in the caller's transaction, in one order, so that no two wait for each other."""
    rows = [
        {"merchant_id": merchant, "width": width, "start": start, **moved._asdict()}
        for (merchant, width, start), moved in sorted(sums.items())
    ]
    db.session.connection().execute(_ADD[db.engine.dialect.name], rows)


def rolled_up(hours: dict[tuple[int, datetime], Accounts]) -> dict[Key, Accounts]:
    """What each period of each width gets."""
    sums: dict[Key, Accounts] = {}
    for (merchant, hour), moved in hours.items():
        for width, start in periods.periods(hour):
            key = (merchant, width, start)
            sums[key] = total(sums.get(key, NOTHING), moved)
    return sums


@transaction
def _fold() -> int:
    """Several workers take different entries, where the server can leave out those that are taken; else they wait."""
    taken = _TAKE.limit(AT_ONCE).with_for_update(skip_locked=skips_locked(db.engine))
    entries = db.session.execute(taken).all()
    if entries:
        add(rolled_up(_by_hour(entries)))
        folded = update(LedgerEntry).where(LedgerEntry.id.in_([entry.id for entry in entries]))
        db.session.execute(folded.values(unfolded_merchant_id=None), execution_options=NO_SYNC)
    return len(entries)


def _by_hour(entries: Iterable[Row[Any]]) -> dict[tuple[int, datetime], Accounts]:
    hours: dict[tuple[int, datetime], Accounts] = {}
    for entry in entries:
        key, moved = (entry.unfolded_merchant_id, entry.hour), Accounts(*entry[3:])
        hours[key] = total(hours.get(key, NOTHING), moved)
    return hours


def _added(insert_of: Any) -> Any:
    """On MySQL all rows of such an INSERT go in one statement, too: the driver sees to it."""
    rows = insert_of(LedgerSum.__table__)
    if insert_of is mysql.insert:
        return rows.on_duplicate_key_update(
            {name: LedgerSum.__table__.c[name] + rows.inserted[name] for name in Accounts._fields}
        )
    more = {name: LedgerSum.__table__.c[name] + rows.excluded[name] for name in Accounts._fields}
    return rows.on_conflict_do_update(["merchant_id", "width", "start"], set_=more)


_ADD = {"sqlite": _added(sqlite.insert), "mysql": _added(mysql.insert)}
