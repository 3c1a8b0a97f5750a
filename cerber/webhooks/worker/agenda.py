"""What an idle worker asks, five times a second of every day: is there anything to do?"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import OperationalError

from cerber.context import clock, settings
from cerber.db.engines import db

KEPT = 240.0  # seconds that one connection is used: PythonAnywhere cuts an idle one after 300
SETTLED = 50_000_000  # nanoseconds after which the time of a file's last change is told from that of the next
TRUSTED = 1.0  # seconds

# One number: a driver written in Python takes each column apart anew. The last line is `Payment.due`, by hand.
_SQL = """
SELECT (EXISTS(SELECT 1 FROM webhooks WHERE state = 'due' AND due_at <= {0})
     OR EXISTS(SELECT 1 FROM breakers WHERE probe_at <= {0}))
    + 2 * EXISTS(SELECT 1 FROM payments WHERE status = 'pending' AND due_at <= {0})
"""


@dataclass(frozen=True, slots=True)
class Due:
    """Whether an event or a probe, and whether an expiry is due."""

    event: bool
    expiry: bool


_ANSWERS = tuple(Due(bool(number & 1), bool(number & 2)) for number in range(4))


class Agenda:
    """Asks on a connection of its own, by hand: through the pool and the ORM a look costs many times as much. To be
    made within an app context; it needs none to look."""

    def __init__(self) -> None:
        self._engine = db.engines["reads"]
        self._is_mysql = self._engine.dialect.name == "mysql"
        self._sql = _SQL.format("'%s'" if self._is_mysql else "?1")
        self._connection: PoolProxiedConnection | None = None
        self._cursor: Any = None
        self._opened = 0.0
        self._clock = clock()
        self._log = _Log(f"{self._engine.url.database}-wal") if self._has_log() else None
        self._last, self._looked = _ANSWERS[0], 0.0

    def glance(self) -> Due:
        """A look, or what the last one saw, where nobody has written since. What has become due by time alone is seen
        a second later at most."""
        is_same = self._log is not None and self._log.is_unchanged()
        return self._last if is_same and time.monotonic() - self._looked < TRUSTED else self.look()

    def look(self) -> Due:
        """One statement that looks into three indexes. Raises OperationalError where the database is away."""
        self._last, self._looked = self._seen(), time.monotonic()
        return self._last

    def _seen(self) -> Due:
        if self._connection is not None and time.monotonic() - self._opened > KEPT:
            self.close()
        try:
            return _ANSWERS[self._asked()]
        except self._engine.dialect.loaded_dbapi.Error as error:
            self._drop()
            raise OperationalError("the agenda", None, error) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self) -> int:
        if self._connection is None:
            self._connection, self._opened = self._engine.raw_connection(), time.monotonic()
            self._cursor = self._connection.cursor()
        moment = self._clock().isoformat(" ", "microseconds")[:26]
        if self._is_mysql:
            self._cursor.execute(self._sql % (moment, moment, moment))
        else:
            self._cursor.execute(self._sql, (moment,))
        [(number,)] = self._cursor.fetchall()
        return int(number)

    def _has_log(self) -> bool:
        return not (self._is_mysql or settings().on_pythonanywhere)  # on a network disk SQLite writes none

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None


class _Log:
    """SQLite's write-ahead log. To ask for the time of its last change costs a tenth of a statement."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._changed_at = 0

    def is_unchanged(self) -> bool:
        """Whether nobody has written since it was last asked. For a while after a change it says no: another might
        have the same time."""
        before, self._changed_at = self._changed_at, 0
        with suppress(OSError):
            changed_at = self._path.stat().st_mtime_ns
            if time.time_ns() - changed_at > SETTLED:
                self._changed_at = changed_at
        return self._changed_at == before != 0
