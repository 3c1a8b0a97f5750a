"""One index for a query, by its name, on every database.

Planners guess. With statistics SQLite may take the wrong index for a list that it could read off the right one in
order, and a list of a million rows is no place to guess.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Engine, Select
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

S = TypeVar("S", bound=Select[*tuple[Any, ...]])


def by_index(query: S, table: Any, name: str) -> S:
    """The query, reading `table` by the index of this name. A database without it refuses the query.

    The index of a unique constraint has no name on SQLite: there it must be the only one that fits.
    """
    if not name.startswith("uq_"):
        query = query.with_hint(table, f"INDEXED BY {name}", "sqlite")
    return query.with_hint(table, f"FORCE INDEX ({name})", "mysql")


def teach(engine: Engine) -> None:
    """SQLAlchemy writes hints for MySQL, and leaves those for SQLite out unless its dialect is taught to."""
    if engine.dialect.name == "sqlite":
        engine.dialect.statement_compiler = _Compiler


class _Compiler(SQLiteCompiler):
    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text
