"""Open connections between two requests."""

from __future__ import annotations

import threading
import time
from typing import Generic, Protocol, TypeVar

MOST = 256
SECONDS = 60.0  # since opened: a name that moves is followed, and no firewall has forgotten the connection yet


class Connection(Protocol):
    """What is asked of a connection here."""

    endpoint: object
    opened: float  # by time.monotonic

    @property
    def is_connected(self) -> bool:
        """Whether it is open and nothing waits to be read: neither its end nor an answer that nobody asked for."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Connection)


class Kept(Generic[C]):
    """Open connections that wait for another request: a bounded number, of all endpoints together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stacks: dict[object, list[C]] = {}
        self._count = 0

    def take(self, endpoint: object) -> C | None:
        """The one used last, if it's young and the other side hasn't closed it."""
        while (connection := self._pop(endpoint)) is not None:
            if connection.opened + SECONDS > time.monotonic() and connection.is_connected:
                return connection
            connection.close()
        return None

    def keep(self, connection: C) -> None:
        with self._lock:
            stack = self._stacks.pop(connection.endpoint, [])
            self._stacks[connection.endpoint] = [*stack, connection]  # at the end: the first is unused for longest
            self._count += 1
            unused = next(iter(self._stacks)) if self._count > MOST else None
        if unused is not None and (surplus := self._pop(unused, 0)) is not None:
            surplus.close()

    def close(self) -> None:
        for endpoint in list(self._stacks):
            while (connection := self._pop(endpoint)) is not None:
                connection.close()

    def _pop(self, endpoint: object, index: int = -1) -> C | None:
        with self._lock:
            stack = self._stacks.get(endpoint)
            if not stack:
                return None
            connection = stack.pop(index)
            self._count -= 1
            if not stack:
                del self._stacks[endpoint]
            return connection
