"""The database: naming, column types, the engines of each dialect, and what a transaction is.

Two engines look at one database. Writes go through `db.session`, in a transaction that takes its lock at once on
SQLite and that reads committed rows on MySQL. Reads go through `reading()`, in autocommit: a page or a status
never waits for a writer, nor makes one wait.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, Connection, DateTime, Dialect, Engine, Integer, MetaData, event
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from cerber.config import Settings

P = ParamSpec("P")
T = TypeVar("T")

OUTAGES = (OperationalError, InterfaceError, PoolTimeout)
DEADLOCK = 1213  # MySQL undid one of two transactions that waited for each other; it may simply run again
_READS = "cerber_reads"
CHECKS_BROKEN = (3819, 4025)  # of MySQL and of MariaDB
TRIES = 5
BUSY_SECONDS = 15

NO_SYNC = {"synchronize_session": False}  # for an UPDATE of rows of which none is loaded: else MySQL reads them first

# Ids compare by code point on every database: MySQL's default collation would take `abc` for `ABC`.
MYSQL_TABLE = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, a naive UTC column with microseconds in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """What all models share."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime}  # noqa: RUF012
    __table_args__: Any = MYSQL_TABLE


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
    app.teardown_appcontext(_close_reads)
    # Where a server dies in a transaction, the rollback fails too, and the pool writes a traceback of it. That says
    # nothing that is not told already: the statement that failed first is the one that is handled.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        with app.app_context():
            for engine in db.engines.values():
                _prepare_sqlite(engine, networked_disk=settings.on_pythonanywhere)
            event.listen(db.engine, "begin", _begin_immediate)  # the reading engine has no transactions
    else:
        with app.app_context():
            event.listen(db.engine, "handle_error", _name_broken_check)


@contextmanager
def reading() -> Iterator[Session]:
    """A session on the reading engine. What it loaded stays usable after it."""
    with read_connection() as connection, Session(connection, expire_on_commit=False, autoflush=False) as session:
        yield session


@contextmanager
def read_connection() -> Iterator[Connection]:
    """A bare connection of the reading engine: for statements that are too frequent for the ORM. All that is read in
    one request, or one turn of a worker, goes over the same one: a second one, asked for while the first is held,
    may be what all others wait for, too."""
    if _READS not in g:
        setattr(g, _READS, db.engines["reads"].connect())
    try:
        yield getattr(g, _READS)
    except BaseException:
        _close_reads()  # it may be broken
        raise


def _close_reads(_: BaseException | None = None) -> None:
    connection: Connection | None = g.pop(_READS, None)
    if connection is not None:
        connection.close()


def transaction(use_case: Callable[P, T]) -> Callable[P, T]:
    """Makes a service function one transaction: committed when it returns, undone when it raises.

    Never call one such function from another: the inner one begins with a rollback, and commits the outer one's work
    before that is whole. Where MySQL breaks a deadlock the function runs again, so it must do nothing outside the
    database.
    """

    @wraps(use_case)
    def committed(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, TRIES + 1):
            db.session.rollback()  # begins afresh: nothing read before this may decide anything
            try:
                result = use_case(*args, **kwargs)
                db.session.commit()
            except OperationalError as error:
                db.session.rollback()
                if attempt == TRIES or not is_deadlock(error):
                    raise
                time.sleep(0.01 * attempt)
            except BaseException:
                db.session.rollback()
                raise
            else:
                return result
        raise AssertionError("unreachable")

    return committed


def is_deadlock(error: BaseException | None) -> bool:
    """Whether a deadlock is behind this error. MySQL undoes the savepoints with the transaction, so inside one the
    rollback to it fails next, and hides the deadlock behind an error of its own."""
    while error is not None and error.args[:1] != (DEADLOCK,):
        error = error.__cause__ or error.__context__
    return error is not None


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
            "init_command": f"SET SESSION innodb_lock_wait_timeout={BUSY_SECONDS}, "
            f"lock_wait_timeout={BUSY_SECONDS}, sql_mode='TRADITIONAL'",
        },
    }


def _prepare_sqlite(engine: Engine, *, networked_disk: bool) -> None:
    """WAL, but never on a network file system. Both keep what was committed over a power cut."""
    journal = "DELETE" if networked_disk else "WAL"

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not by the driver's guess
        for pragma in ("foreign_keys=ON", f"journal_mode={journal}", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if networked_disk:
            connection.execute("PRAGMA mmap_size=0")


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
