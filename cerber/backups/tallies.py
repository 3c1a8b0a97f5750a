"""What a table holds, as a number of rows and a sum over them that is the same on every database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from cerber.db.tables import Base

AT_ONCE = 2_000  # rows
_MODULUS = 2**256


@dataclass(slots=True)
class Tally:
    """Grows row by row. `checksum` adds the rows' hashes up, so it does not depend on their order."""

    rows: int = 0
    checksum: int = 0

    def add(self, row: Row[Any]) -> None:
        text = json.dumps(list(row), ensure_ascii=False, default=str)
        self.rows += 1
        self.checksum = (self.checksum + int.from_bytes(hashlib.sha256(text.encode()).digest())) % _MODULUS

    def told(self) -> dict[str, Any]:
        """For a manifest."""
        return {"rows": self.rows, "checksum": f"{self.checksum:064x}"}


def tables() -> list[Table]:
    """All of them, each after those that it refers to."""
    return Base.metadata.sorted_tables


def pages(connection: Connection, table: Table) -> Iterator[list[Row[Any]]]:
    """All rows of a table, so many at a time: memory stays what it is, however long it is."""
    streamed = connection.execution_options(yield_per=AT_ONCE).execute(select(table))
    for page in streamed.partitions():
        yield list(page)


def tally(connection: Connection, table: Table) -> Tally:
    """Of a whole table."""
    found = Tally()
    for page in pages(connection, table):
        for row in page:
            found.add(row)
    return found
