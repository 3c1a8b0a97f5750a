"""Putting a snapshot's rows into a database, in the place of all that is there.

Until all of them are there and were compared, the database says so where the schema's revision else stands: nothing
takes it for whole (`/health/ready` and `flask doctor` don't), and whoever was killed just begins again. What an
earlier try has filled is then kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, NullPool, Table, create_engine, inspect, text
from sqlalchemy.engine import URL

from cerber.backups.snapshot import Say
from cerber.backups.tallies import pages, tables, tally
from cerber.db import schema
from cerber.errors import NotRestored

UNFINISHED = "unfinished copy"
_CHECKS = {"mysql": "SET SESSION FOREIGN_KEY_CHECKS={}", "sqlite": "PRAGMA foreign_keys={}"}


@contextmanager
def target_of(url: URL) -> Iterator[Connection]:
    """A connection that fills: what it puts in is whole only in the end, so no foreign keys are checked."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(_CHECKS[engine.dialect.name].format(0))
        connection.commit()
        yield connection


def is_unfinished(connection: Connection) -> bool:
    """Whether somebody began to fill this database, and did not end it."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return str(connection.scalar(text("SELECT version_num FROM alembic_version"))).startswith(UNFINISHED)


def holds_data(connection: Connection) -> bool:
    """Whether somebody would miss what is there: a shop, a wallet or a payment. The first admin alone is nothing."""
    there = inspect(connection).get_table_names()
    looked_at = [table for table in tables() if table.name in ("merchants", "wallets", "payments")]
    found = (connection.scalar(table.select().limit(1)) for table in looked_at if table.name in there)
    return any(first is not None for first in found)


def fill(target: Connection, snapshot: Connection, say: Say) -> int:
    """Makes each table of the target hold what the snapshot's does; the number of rows. Raises NotRestored where a
    row didn't arrive as it was, or where another has begun to fill it meanwhile."""
    own = f"{UNFINISHED} {secrets.token_hex(4)}"
    target.execute(text("UPDATE alembic_version SET version_num = :own"), {"own": own})
    target.commit()
    rows = sum(_fill_table(target, snapshot, table, say) for table in tables())
    [head] = schema.heads()
    finished = text("UPDATE alembic_version SET version_num = :head WHERE version_num = :own")
    if not target.execute(finished, {"head": head, "own": own}).rowcount:
        raise NotRestored("Another one fills this database, too: wait until it has ended, then run this again.")
    target.commit()
    return rows


def _fill_table(target: Connection, snapshot: Connection, table: Table, say: Say) -> int:
    wanted = tally(snapshot, table)
    if tally(target, table) != wanted:
        _empty(target, table)
        for page in pages(snapshot, table):
            target.execute(table.insert(), [dict(row._mapping) for row in page])
            target.commit()
        if tally(target, table) != wanted:
            raise NotRestored(f"The rows of {table.name} did not arrive as they were. Does somebody write there?")
    target.commit()  # what was read, too: the next look sees what others have committed
    say(f"{table.name}: {wanted.rows}")
    return wanted.rows


def _empty(target: Connection, table: Table) -> None:
    if target.dialect.name == "mysql":
        target.exec_driver_sql(f"TRUNCATE TABLE {table.name}")  # at once, where DELETE would take minutes
    else:
        target.execute(table.delete())
    target.commit()
