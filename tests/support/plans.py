"""How a database would run a statement, and how much it really does for it: read off the database itself."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tests.support.statements import Statement

GROWING = (
    "payments",
    "transfers",
    "webhooks",
    "webhook_attempts",
    "ledger_entries",
    "ledger_sums",
    "audit_entries",
)
MANY = 2_000  # rows, by the planner's estimate: a table of which more are put in order is read as a whole
_STEPS = 100  # of SQLite's machine between two counts


@dataclass
class Plan:
    """`scans` are the tables that grow and of which nothing says where to begin, or a whole index of one; `sorts` is
    whether rows are put in order, `steps` how much was done: rows that MariaDB read, steps of SQLite's machine."""

    statement: Statement
    told: str
    scans: set[str] = field(default_factory=set)
    sorts: bool = False
    steps: int = 0
    sorted_rows: int = 0

    def __str__(self) -> str:
        read = f"scans {sorted(self.scans)}, sorts {self.sorts} ({self.sorted_rows}), {self.steps} steps"
        return f"{read}\n{self.statement.shape}\n{self.statement.values}\n{self.told}"


class Planner:
    """Looks at statements on a connection of its own. What they change is undone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def connected(self) -> Iterator[Any]:
        with self._engine.connect() as connection:
            yield connection

    @property
    def name(self) -> str:
        return "sqlite" if self._sqlite else "mariadb"

    def forget(self) -> None:
        """Opens connections anew from here on."""
        self._engine.dispose()

    def driver(self) -> Any:
        """A connection of the driver's own. Of SQLite."""
        return sqlite3.connect(self._engine.url.database or "", isolation_level=None)

    def plan(self, connection: Any, statement: Statement) -> Plan:
        names = _names(statement.text)
        found = self._on_sqlite(connection, statement, names) if self._sqlite else None
        found = found or self._on_mariadb(connection, statement, names)
        with suppress(
            DBAPIError, self._engine.dialect.loaded_dbapi.Error
        ):  # a row that is there already: what led to it was counted
            self._run(connection, statement, found)
        connection.rollback()
        return found

    def _on_sqlite(self, connection: Any, statement: Statement, names: dict[str, str]) -> Plan:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.text}", statement.values).all()
        plan = Plan(statement, "\n".join(row.detail for row in rows))
        for row in rows:
            if scan := re.match(r"SCAN (\w+)", row.detail):
                plan.scans |= {names.get(scan[1], scan[1])} & set(GROWING)
            plan.sorts |= "USE TEMP B-TREE" in row.detail
        return plan

    def _on_mariadb(self, connection: Any, statement: Statement, names: dict[str, str]) -> Plan:
        rows = connection.exec_driver_sql(f"EXPLAIN {statement.text}", statement.values).mappings().all()
        plan = Plan(statement, "\n".join(str(tuple(row.values())) for row in rows))
        for row in rows:
            sorts_many = "filesort" in (row["Extra"] or "") and int(str(row["rows"] or 0).split()[0]) > MANY
            if (row["type"] in ("ALL", "index") and row["select_type"] != "INSERT") or sorts_many:
                plan.scans |= {names.get(row["table"], row["table"])} & set(GROWING)
            plan.sorts |= "filesort" in (row["Extra"] or "")
        return plan

    def _run(self, connection: Any, statement: Statement, plan: Plan) -> None:
        (self._run_sqlite if self._sqlite else self._run_mariadb)(connection, statement, plan)

    def _run_sqlite(self, connection: Any, statement: Statement, plan: Plan) -> None:
        raw = connection.connection.driver_connection

        def count() -> None:
            plan.steps += _STEPS

        raw.set_progress_handler(count, _STEPS)
        try:
            raw.execute(statement.text, statement.values).fetchall()
        finally:
            raw.set_progress_handler(None, 0)

    def _run_mariadb(self, connection: Any, statement: Statement, plan: Plan) -> None:
        connection.exec_driver_sql("FLUSH STATUS")
        result = connection.exec_driver_sql(statement.text, statement.values)
        if result.returns_rows:
            result.fetchall()
        asked = "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%%' OR Variable_name = 'Sort_rows'"
        told = {name: int(value) for name, value in connection.exec_driver_sql(asked)}
        plan.sorted_rows = told.pop("Sort_rows")
        plan.steps = sum(told.values())


def _names(text: str) -> dict[str, str]:
    """The tables of a statement by the names that it gives them."""
    return {alias: table for table, alias in re.findall(r"\b(\w+) AS (\w+)", text) if table in GROWING}
