"""Rows into tables, thousands at a time: through the driver itself, since the ORM would take ten times as long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pymysql.converters import escape_string
from sqlalchemy import Table

from cerber.db.engines import db
from cerber.db.tables import Base

Row = tuple[Any, ...]
_AT_ONCE = 1_000  # rows in one statement of MySQL: that stays far below the 16 MB that it takes


class Bulk:
    """Writes batches, each in a transaction of its own, over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._mysql = db.engine.dialect.name == "mysql"
        for setting in _settings(mysql=self._mysql):
            self._cursor.execute(setting)

    def add(self, batch: Mapping[str, Sequence[Row]], columns: Mapping[str, Sequence[str]]) -> None:
        """Adds the rows of each table. A column that is not given gets the model's own default."""
        self._cursor.execute("START TRANSACTION" if self._mysql else "BEGIN IMMEDIATE")
        for name, rows in batch.items():
            names, rest = _completed(Base.metadata.tables[name], columns[name])
            full = [row + rest for row in rows] if rest else rows
            (self._add_to_mysql if self._mysql else self._add_to_sqlite)(name, names, full)
        self._connection.commit()

    def _add_to_sqlite(self, name: str, names: Sequence[str], rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})"  # names of our own  # nosec B608
        self._cursor.executemany(insert, rows)

    def _add_to_mysql(self, name: str, names: Sequence[str], rows: Sequence[Row]) -> None:
        """The values as literals: PyMySQL's own way to write many rows takes three times as long."""
        for start in range(0, len(rows), _AT_ONCE):
            values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows[start : start + _AT_ONCE])
            insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES {values}"  # values quoted by PyMySQL  # nosec B608
            self._cursor.execute(insert)


@contextmanager
def bulk() -> Iterator[Bulk]:
    """Inside an app context."""
    connection = db.engine.raw_connection()
    try:
        yield Bulk(connection)
    finally:
        connection.invalidate()  # its settings are not for others


def _settings(*, mysql: bool) -> tuple[str, ...]:
    """The rows name nothing that isn't there, and SQLite's cache holds the indexes while they are written."""
    if mysql:
        return ("SET SESSION foreign_key_checks = 0",)
    return ("PRAGMA foreign_keys = OFF", "PRAGMA cache_size = -262144")


def _completed(table: Table, given: Sequence[str]) -> tuple[list[str], Row]:
    """The names of the columns, and what stands in those that are not given but have a default."""
    left = [column for column in table.columns if column.name not in given]
    defaults = {column.name: column.default.arg for column in left if column.default and column.default.is_scalar}  # type: ignore[attr-defined]
    return [*given, *defaults], tuple(defaults.values())


def _literal(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"'{escape_string(value)}'"
