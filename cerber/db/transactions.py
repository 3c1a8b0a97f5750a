"""What a transaction is, and what a read is.

Writes go through `db.session`, in a transaction that takes its lock at once on SQLite and that reads committed rows
on MySQL. Reads go through `reading()`, in autocommit: a page or a status never waits for a writer, nor makes one
wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from flask import Flask, g
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cerber.db import engines
from cerber.db.engines import db
from cerber.errors import Overtaken

P = ParamSpec("P")
T = TypeVar("T")

OUTAGES = (OperationalError, InterfaceError, PoolTimeout)
DEADLOCK = 1213  # MySQL undid one of two transactions that waited for each other; it may simply run again
LOCK_NOT_GIVEN = 1205  # within LOCK_SECONDS
TRIES = 5
PAUSE = 0.02  # seconds, the longest before the first repetition; it doubles with each

_READS = "cerber_reads"
_under_way: ContextVar[str | None] = ContextVar("use case", default=None)

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

    Raises NestedUseCase where it is called inside another: the inner one would commit the outer one's work before
    that is whole. Where MySQL breaks a deadlock, or the function raises Overtaken, it runs again, so it must do
    nothing outside the database.
    """

    @wraps(use_case)
    def committed(*args: P.args, **kwargs: P.kwargs) -> T:
        with _alone(use_case.__qualname__):
            return _until_committed(partial(use_case, *args, **kwargs))

    return committed


class NestedUseCase(RuntimeError):
    """A use case was called inside another: a mistake of ours."""


@contextmanager
def _alone(name: str) -> Iterator[None]:
    outer = _under_way.get()
    if outer is not None:
        raise NestedUseCase(f"{name} was called inside {outer}: each use case is a transaction of its own")
    token = _under_way.set(name)
    try:
        yield
    finally:
        _under_way.reset(token)


def _until_committed(use_case: Callable[[], T]) -> T:
    ends = time.monotonic() + engines.BUSY_SECONDS
    for attempt in range(1, TRIES):
        try:
            return _once(use_case)
        except Overtaken:
            continue
        except OperationalError as error:
            if not _may_run_again(error, ends):
                raise
        time.sleep(random.uniform(0, PAUSE * 2 ** (attempt - 1)))  # noqa: S311 - it guards nothing
    return _once(use_case)


def _once(use_case: Callable[[], T]) -> T:
    db.session.rollback()  # begins afresh: nothing read before this may decide anything
    try:
        result = use_case()
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    return result


def _may_run_again(error: BaseException, ends: float) -> bool:
    """A deadlock always; a lock that was not given only while another wait for it fits into what a caller waits."""
    if _is_behind(error, DEADLOCK):
        return True
    return _is_behind(error, LOCK_NOT_GIVEN) and time.monotonic() + engines.LOCK_SECONDS <= ends


def _is_behind(error: BaseException | None, code: int) -> bool:
    """Whether an error of this code is behind it. MySQL undoes the savepoints with the transaction, so inside one the
    rollback to it fails next, and hides a deadlock behind an error of its own."""
    while error is not None and error.args[:1] != (code,):
        error = error.__cause__ or error.__context__
    return error is not None
