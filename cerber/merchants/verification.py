"""Whether a request is a merchant's: by the secrets that this process keeps, and then by the database as it is now.

A refused signature costs one statement, and an accepted one the statement that reads what the caller needs anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

from flask import current_app
from sqlalchemy import func, select

from cerber.db.transactions import read_connection
from cerber.merchants import keyring, networks
from cerber.merchants.models import Merchant
from cerber.merchants.ring import EMPTY, Entry, Match, Ring, Stamp, ring

LOOKS = 5  # a merchant who changes with each of them is refused
_STAMP = select(func.count(), func.coalesce(func.sum(Merchant.version), 0), func.coalesce(func.max(Merchant.id), 0))
_MERCHANTS = select(
    Merchant.id, Merchant.merch_id, Merchant.version, Merchant.blocked_at, Merchant.v2_only, Merchant.networks
).order_by(Merchant.id)


def verified(find: Callable[[Ring], Match | None], read: Callable[[int], Any | None]) -> tuple[Match, Any] | None:
    """Who signed, by `find`, and what `read` says of that merchant now: a row with its version and its block.

    None for all that is refused, after the same work.
    """
    keeper = _keeper()
    for _ in range(LOOKS):
        looked_at = keeper.ring
        match = find(looked_at)
        row = read(match.entry.id) if match else None
        if match and row and row.version == match.entry.version and row.blocked_at is None:
            keeper.note_use(match.entry)
            return match, row
        if not keeper.renewed(looked_at) and match is None:
            return None
    return None


class _Keeper:
    """The ring that is current, for all threads of this process."""

    def __init__(self) -> None:
        self.ring = EMPTY
        self._lock = Lock()

    def renewed(self, looked_at: Ring) -> bool:
        """Whether the database has more than the ring that was looked at. The current one has it then."""
        with read_connection() as connection:
            stamp = Stamp(*map(int, connection.execute(_STAMP).one()))
        if self.ring.stamp != stamp:
            self.ring = _made(self.ring)
        return stamp != looked_at.stamp

    def note_use(self, entry: Entry) -> None:
        """Lets the merchant be found sooner the next time."""
        with self._lock:
            if self.ring.entries.get(entry.id) is entry:
                self.ring = self.ring.promoted(entry)


def _keeper() -> _Keeper:
    keeper: _Keeper = current_app.extensions.setdefault("cerber_ring", _Keeper())
    return keeper


def _made(before: Ring) -> Ring:
    """The ring as the database has it: the stamp is that of the rows which it is made of."""
    with read_connection() as connection:
        rows = connection.execute(_MERCHANTS).all()
    stamp = Stamp(len(rows), sum(row.version for row in rows), max((row.id for row in rows), default=0))
    may = {row.id: row for row in rows if row.blocked_at is None}
    same = {pk: entry for pk, entry in _last_used_first(before) if pk in may and may[pk].version == entry.version}
    changed = keyring.opened(may.keys() - same.keys())
    return ring(stamp, [*same.values(), *(_entry(may[pk], keys) for pk, keys in changed.items())])


def _last_used_first(before: Ring) -> Iterator[tuple[int, Entry]]:
    yield from ((entry.id, entry) for _, _, entry in before.order)
    yield from before.entries.items()  # those of which no payment secret opens, too


def _entry(row: Any, keys: keyring.Keys) -> Entry:
    return Entry(row.id, row.merch_id, row.version, row.v2_only, networks.parsed(row.networks), keys)
