"""What a transaction is, and what a read is.

Writes go through `db.session`, in a transaction that takes its lock at once on SQLite and that reads committed rows
on MySQL. Reads go through `reading()`, in autocommit: a page or a status never waits for a writer, nor makes one
wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, g
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cerber.db.engines import db

P = ParamSpec("P")


T = TypeVar("T")


OUTAGES = (OperationalError, InterfaceError, PoolTimeout)


DEADLOCK = 1213  # MySQL undid one of two transactions that waited for each other; it may simply run again


_READS = "cerber_reads"


TRIES = 5


NO_SYNC = {"synchronize_session": False}  # for an UPDATE of rows of which none is loaded: else MySQL reads them first


def init_app(app: Flask) -> None:
    """Gives the reading connection of a request or a turn back at its end."""
    app.teardown_appcontext(_close_reads)


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
