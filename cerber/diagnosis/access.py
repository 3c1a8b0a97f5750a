"""Why the database can't be reached or written, in words that say what to do."""

from __future__ import annotations

import shutil
import sqlite3

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cerber.db import schema
from cerber.db.engines import db, sqlite_file
from cerber.db.transactions import transaction

LEAST_MEGABYTES = 200
FULL = "the disk is full: make room on it; what was committed is safe, and everything goes on by itself afterwards"
UNREACHABLE = "no server answers there: check the host in CERBER_DATABASE_URL, and that the server runs"
CONNECTIONS = "the server gives no more connections: run fewer web processes and workers, or raise its limit"
READ_ONLY = "it can only be read: on a replica or a server set so, name the one that is written to"
# MySQL's and MariaDB's numbers
_MYSQL = {
    1021: FULL,
    1040: CONNECTIONS,
    1044: "this user may not use this database: GRANT it, or name another user in CERBER_DATABASE_URL",
    1045: "the server refuses the user or the password in CERBER_DATABASE_URL; characters of the password such as "
    "@ : / # % must be percent-encoded there (@ is %40)",
    1049: "the server has no database of this name: create it, or mend the name in CERBER_DATABASE_URL",
    1114: FULL,
    1203: CONNECTIONS,
    1226: CONNECTIONS,
    1290: READ_ONLY,
    1836: READ_ONLY,
    2003: UNREACHABLE,
    2013: "the server hung up in the middle: look at its log, and at the network between",
}
_SQLITE = {
    sqlite3.SQLITE_BUSY: "another process has had it locked for 15 s: which one writes for so long?",
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened: do its folder and the path in CERBER_DATABASE_URL exist, and "
    "may this user write there?",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop everything, and restore a backup (docs/backup.md)",
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: "the disk has failed to read or write: look at the system's log",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database: is the path in CERBER_DATABASE_URL right?",
    sqlite3.SQLITE_READONLY: "the file can't be written: give it and its folder to the user who runs Cerber",
}


def why_away() -> str | None:
    """Why nothing can be read; None where it can be."""
    try:
        schema.is_current()
    except (DBAPIError, PoolTimeout) as error:
        return _told(error)
    return None


def why_not_written() -> str | None:
    """Why a change is not taken; None where it is. What it writes is what stands there."""
    try:
        _touch()
    except (DBAPIError, PoolTimeout) as error:
        return _told(error)
    return None


def free_megabytes() -> int | None:
    """On the disk of an SQLite file; None for a server, whose disk isn't ours to look at."""
    file = sqlite_file(db.engine)
    return None if file is None else shutil.disk_usage(file.parent).free // 1_000_000


@transaction
def _touch() -> None:
    db.session.execute(text("UPDATE alembic_version SET version_num = version_num"))


def _told(error: DBAPIError | PoolTimeout) -> str:
    """What to do, and what the driver said: its number is what a search finds."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        number = getattr(cause, "sqlite_errorcode", 0)
        return _line(_SQLITE.get(number & 0xFF, "SQLite refuses"), f"{number} {cause}")
    number = cause.args[0] if cause is not None and cause.args else None
    said = " ".join(str(part) for part in cause.args) if cause is not None else str(error)
    return _line(_MYSQL.get(number, "the server refuses") if isinstance(number, int) else UNREACHABLE, said)


def _line(advice: str, said: str) -> str:
    return f"{advice} ({' '.join(said.split())})"
