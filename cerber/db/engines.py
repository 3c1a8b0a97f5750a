"""The engines of each dialect: two look at one database, one to write (`db.session`), one to read in autocommit."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import IntegrityError

from cerber.config import Settings
from cerber.db import hints
from cerber.db.tables import Base

CHECKS_BROKEN = (3819, 4025)  # of MySQL and of MariaDB
BUSY_SECONDS = 15  # how long a caller waits for locks at most
LOCK_SECONDS = 5  # how long for one on MySQL, before its transaction gives all others free and asks again


db = SQLAlchemy(metadata=Base.metadata, disable_autonaming=True)


def init_app(app: Flask, settings: Settings) -> None:
    """Binds the two engines. No connection is opened yet."""
    options = _engine_options(settings)
    write_level = {} if settings.database_url.startswith("sqlite") else {"isolation_level": "READ COMMITTED"}
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | write_level
    reads = options | {
        "url": settings.database_url,
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
    }
    app.config["SQLALCHEMY_BINDS"] = {"reads": reads}
    db.init_app(app)
    # Where a server dies in a transaction, the rollback fails too, and the pool writes a traceback of it. That says
    # nothing that is not told already: the statement that failed first is the one that is handled.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        with app.app_context():
            for engine in db.engines.values():
                hints.teach(engine)
                _prepare_sqlite(engine, settings)
            event.listen(db.engine, "begin", _begin_immediate)  # the reading engine has no transactions
    else:
        with app.app_context():
            event.listen(db.engine, "handle_error", _name_broken_check)


def skips_locked(engine: Engine) -> bool:
    """Whether the server understands SKIP LOCKED: MySQL from 8.0.1, MariaDB from 10.6."""
    version = engine.dialect.server_version_info or (0,)
    least = (10, 6) if getattr(engine.dialect, "is_mariadb", False) else (8, 0, 1)
    return engine.dialect.name == "mysql" and tuple(version) >= least


def _engine_options(settings: Settings) -> dict[str, Any]:
    if settings.database_url.startswith("sqlite"):
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    return {
        "pool_size": 2,
        "pool_recycle": 280,  # PythonAnywhere cuts a connection idle for 300 s
        "pool_pre_ping": True,
        "connect_args": {
            "charset": "utf8mb4",
            "connect_timeout": 5,
            "read_timeout": BUSY_SECONDS + 5,  # a server that hangs is away
            "init_command": f"SET SESSION innodb_lock_wait_timeout={min(LOCK_SECONDS, BUSY_SECONDS)}, "
            f"lock_wait_timeout={BUSY_SECONDS}, sql_mode='TRADITIONAL'",
        },
    }


def sqlite_file(engine: Engine) -> Path | None:
    """The file of an SQLite database; None for another engine, or one that has no file of its own."""
    name = engine.url.database or ":memory:"
    if engine.dialect.name != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).absolute()


def keep_from_others(engine: Engine) -> None:
    """Makes a new SQLite file its owner's alone, whatever the umask says; its journals take after it."""

    @event.listens_for(engine, "do_connect")
    def make(*_: Any) -> None:
        if file := sqlite_file(engine):
            with suppress(OSError):  # it is there already; or can't be made, which SQLite tells better
                os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(engine: Engine, settings: Settings) -> None:
    """A new file gets WAL, but never on a network file system. Both keep what was committed over a power cut.

    One that is there keeps its journal unless CERBER_SQLITE_JOURNAL says otherwise: a command that is run without the
    host's own variables must not put a live file on such a disk into WAL, and lock all others out.
    """
    by_place = "delete" if settings.on_pythonanywhere else "wal"
    keep_from_others(engine)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not by the driver's guess
        is_new = connection.execute("PRAGMA page_count").fetchone() == (0,)
        if settings.sqlite_journal or is_new:
            connection.execute(f"PRAGMA journal_mode={settings.sqlite_journal or by_place}")
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "mmap_size=0"):
            connection.execute(f"PRAGMA {pragma}")


def _name_broken_check(context: ExceptionContext) -> None:
    """PyMySQL takes a broken CHECK for an OperationalError, which would pass for a database that is away."""
    error = context.original_exception
    if error.args and error.args[0] in CHECKS_BROKEN:
        raise IntegrityError(context.statement, context.parameters, error) from error


def _begin_immediate(connection: Connection) -> None:
    """Takes SQLite's one lock at once: a transaction that reads first and locks later can be refused half-way.

    Asked for again each millisecond or two: SQLite itself would sleep for up to 100 ms between two tries, and come
    too late again and again where others write all the time.
    """
    raw: Any = connection.connection.driver_connection
    ends = time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < ends:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(random.uniform(0.001, 0.002))  # noqa: S311 - it guards nothing
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails as SQLAlchemy's errors do
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
