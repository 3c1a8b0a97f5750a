"""What an idle worker asks, every second of every day: is there anything to do?"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import OperationalError

from cerber.context import clock
from cerber.db.engines import db

KEPT = 240.0  # seconds that one connection is used: PythonAnywhere cuts an idle one after 300

# The last line is `Payment.due`, by hand.
_SQL = """
SELECT EXISTS(SELECT 1 FROM webhooks WHERE state = 'due' AND due_at <= {0}),
       EXISTS(SELECT 1 FROM breakers WHERE probe_at <= {0}),
       EXISTS(SELECT 1 FROM payments WHERE status = 'pending' AND due_at <= {0})
"""


@dataclass(frozen=True, slots=True)
class Due:
    """Whether an event or a probe, and whether an expiry is due."""

    event: bool
    expiry: bool


class Agenda:
    """Asks on a connection of its own, by hand: through the pool and the ORM a look costs many times as much. To be
    made within an app context; it needs none to look."""

    def __init__(self) -> None:
        self._engine = db.engines["reads"]
        self._sql = _SQL.format("%s" if self._engine.dialect.name == "mysql" else "?")
        self._connection: PoolProxiedConnection | None = None
        self._opened = 0.0
        self._clock = clock()

    def look(self) -> Due:
        """One statement that looks into three indexes. Raises OperationalError where the database is away."""
        if self._connection is not None and time.monotonic() - self._opened > KEPT:
            self.close()
        try:
            return self._asked()
        except self._engine.dialect.loaded_dbapi.Error as error:
            self._drop()
            raise OperationalError("the agenda", None, error) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self) -> Due:
        if self._connection is None:
            self._connection, self._opened = self._engine.raw_connection(), time.monotonic()
        moment = self._clock().strftime("%Y-%m-%d %H:%M:%S.%f")
        cursor = self._connection.cursor()
        cursor.execute(self._sql, (moment,) * 3)
        event, probe, expiry = cursor.fetchone()  # type: ignore[misc]
        cursor.close()
        return Due(bool(event or probe), bool(expiry))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None
