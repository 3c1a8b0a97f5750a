"""Every statement that an app sends, caught in the driver's own cursors: whatever sends it, none gets by."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pymysql.cursors
from flask import Flask
from sqlalchemy import Engine, event

from cerber.db.engines import db

_WORK = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|REPLACE)\b", re.I)
_MANY = re.compile(r"\((?:\?|%s)(?:, (?:\?|%s))+\)")


class Statement(NamedTuple):
    """A statement as the driver got it, with its values."""

    text: str
    values: Any

    @property
    def shape(self) -> str:
        """The text, the same however many values a list has."""
        return re.sub(r"\s+", " ", _MANY.sub("(…)", self.text)).strip()


@contextmanager
def caught(app: Flask) -> Iterator[list[Statement]]:
    """The statements that any connection of the app sends meanwhile; not those that begin and end transactions."""
    sent: list[Statement] = []
    with app.app_context():
        engines = list(db.engines.values())
    for engine in engines:
        engine.connect().close()  # the first connection of all asks the server what it is
        engine.dispose()  # those that are there have cursors of their own
        event.listen(engine, "do_connect", _tapped(engine, sent))
    try:
        yield sent
    finally:
        for engine in engines:
            engine.dispose()
            engine.dialect.dispatch.do_connect.clear()


def _tapped(engine: Engine, sent: list[Statement]) -> Any:
    options = _on_sqlite(sent) if engine.dialect.name == "sqlite" else _on_mysql(sent)

    def connecting(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters.update(options)

    return connecting


def _note(sent: list[Statement], text: Any, values: Any) -> None:
    if isinstance(text, str) and _WORK.match(text):
        sent.append(Statement(text, values))


def _on_sqlite(sent: list[Statement]) -> dict[str, Any]:
    class Cursor(sqlite3.Cursor):
        def execute(self, text: str, values: Any = ()) -> Any:
            _note(sent, text, values)
            return super().execute(text, values)

        def executemany(self, text: str, values: Any) -> Any:
            _note(sent, text, values[0])
            return super().executemany(text, values)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

    return {"factory": Connection}


def _on_mysql(sent: list[Statement]) -> dict[str, Any]:
    class Cursor(pymysql.cursors.Cursor):
        def execute(self, text: Any, values: Any = None) -> Any:
            _note(sent, text, values)
            return super().execute(text, values)

        def executemany(self, text: Any, values: Any) -> Any:
            _note(sent, text, values[0])
            return super().executemany(text, values)  # it calls `execute` with bytes, or else with one row at a time

    return {"cursorclass": Cursor}
