"""How migrations reach the database: over the app's own engine, on a connection of their own."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import create_engine

import cerber.app  # noqa: F401 - makes the tables known
from cerber.db.engines import db, keep_from_others
from cerber.db.tables import Base, UTCDateTime


def render(kind: str, thing: Any, autogen: Any) -> str | bool:
    """Writes our own column types so that a migration needs nothing of the code as it is later."""
    if kind == "type" and isinstance(thing, UTCDateTime):
        autogen.imports.add("from sqlalchemy.dialects import mysql")
        return 'sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")'
    return False


def run() -> None:
    with db.engine.connect() as first:  # a new SQLite file gets its journal from the app's own engine
        first.detach()  # it would keep in mind the tables as they are now
    engine = create_engine(db.engine.url)
    keep_from_others(engine)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, render_item=render, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
