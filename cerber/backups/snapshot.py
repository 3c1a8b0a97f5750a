"""The whole database as it is at one moment, in a SQLite file: what a backup keeps, and what a copy is made from."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text

from cerber.backups.tallies import Tally, pages, tables, tally
from cerber.db import schema
from cerber.db.engines import db
from cerber.db.tables import Base

Say = Callable[[str], None]


def take(file: Path, say: Say) -> dict[str, Tally]:
    """Writes a snapshot into a new file, while others write on; what each table holds. The schema must be current."""
    if db.engine.dialect.name == "sqlite":
        return _copy_of_sqlite(file, say)
    with opened(file) as target:
        Base.metadata.create_all(target)
        with target.begin() as written, _one_moment(db.engine) as source:
            _stamp(written)
            return {table.name: _copied(source, written, table.name, say) for table in tables()}


@contextmanager
def opened(file: Path) -> Iterator[Engine]:
    """An engine on a snapshot. It is nobody else's, and a crash makes it worthless, so nothing is synced."""
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    try:
        yield engine
    finally:
        engine.dispose()


def _copy_of_sqlite(file: Path, say: Say) -> dict[str, Tally]:
    """All pages in one step: in several it would begin anew each time that somebody writes."""
    with db.engines["reads"].connect() as source, closing(sqlite3.connect(file)) as target:
        original: Any = source.connection.driver_connection
        original.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the original's journal is
    with opened(file) as engine, engine.connect() as copied:
        return {table.name: _told(tally(copied, table), table.name, say) for table in tables()}


@contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    """A connection that sees what was committed when it first read, and nothing later."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        yield connection


def _copied(source: Connection, target: Connection, name: str, say: Say) -> Tally:
    table, found = Base.metadata.tables[name], Tally()
    for page in pages(source, table):
        for row in page:
            found.add(row)
        target.execute(table.insert(), [dict(row._mapping) for row in page])
    return _told(found, name, say)


def _told(found: Tally, name: str, say: Say) -> Tally:
    say(f"{name}: {found.rows}")
    return found


def _stamp(connection: Connection) -> None:
    """The snapshot is at the newest migration, as its original is."""
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    for head in schema.heads():
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
