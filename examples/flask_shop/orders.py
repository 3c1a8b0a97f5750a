"""The orders, in SQLite: each event is applied once, whatever comes twice, at once or late."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cerber_client import Event

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
  payment_id TEXT PRIMARY KEY, item TEXT NOT NULL, sum TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'new', received TEXT NOT NULL DEFAULT '0',
  wallet_number TEXT, wallet_link TEXT, image TEXT);
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS parcels (number INTEGER PRIMARY KEY, payment_id TEXT NOT NULL);
"""
_path = ""


def create(path: str) -> None:
    global _path  # one database for the process, as it is started
    _path = path
    with _connected() as database:
        database.executescript(SCHEMA)


def add(payment_id: str, item: str, price: str) -> None:
    with _connected() as database:
        database.execute("INSERT INTO orders (payment_id, item, sum) VALUES (?, ?, ?)", (payment_id, item, price))


def set_wallet(payment_id: str, number: str, link: str, image: str) -> None:
    with _connected() as database:
        change = "UPDATE orders SET wallet_number = ?, wallet_link = ?, image = ? WHERE payment_id = ?"
        database.execute(change, (number, link, image, payment_id))


def find(payment_id: str) -> sqlite3.Row | None:
    with _connected() as database:
        row: sqlite3.Row | None = database.execute(
            "SELECT * FROM orders WHERE payment_id = ?", (payment_id,)
        ).fetchone()
        return row


def learn(event: Event, *, still_cancelled: bool) -> None:
    """One transaction: that the event was seen, what the order now is, and the parcel. All of them or none.

    A paid order stays paid: no event comes after it but late ones. A cancelled one may yet be paid.
    """
    with _connected() as database:
        if not database.execute("INSERT OR IGNORE INTO events VALUES (?)", (event.id,)).rowcount:
            return  # it was here before
        if event.kind == "accept":
            if _change(database, event, "paid"):
                database.execute("INSERT INTO parcels (payment_id) VALUES (?)", (event.payment_id,))
        elif event.kind == "change_sum":
            _change(database, event, "part paid" if event.confirm_sum != "0" else "new")
        elif still_cancelled:
            _change(database, event, "cancelled")


def _change(database: sqlite3.Connection, event: Event, state: str) -> bool:
    change = "UPDATE orders SET state = ?, received = ? WHERE payment_id = ? AND state != 'paid'"
    return database.execute(change, (state, event.confirm_sum, event.payment_id)).rowcount == 1


@contextmanager
def _connected() -> Iterator[sqlite3.Connection]:
    """A transaction that takes the write lock at once: of two at the same time, one waits."""
    database = sqlite3.connect(_path, timeout=30, isolation_level="IMMEDIATE")
    database.row_factory = sqlite3.Row
    try:
        with database:
            yield database
    finally:
        database.close()
