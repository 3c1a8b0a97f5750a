"""A merchant's server on a real socket: keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.receivers import Arrival, Connection, Receiver


class Shop:
    """Answers with `statuses` in turn, then with `otherwise`; with `headers` and `answer`, after `pause` seconds.

    `gate` holds answers back while it is cleared. `at_once` is how many wait for an answer now, `most_at_once` the
    most that ever did.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.statuses: list[int] = []
        self.otherwise = 200
        self.headers: dict[str, str] = {}
        self.answer = b""
        self.pause = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0
        self._changed = threading.Condition()

    def take(self, arrival: Arrival) -> int:
        with self._changed:
            self.arrivals.append(arrival)
            status = self.statuses.pop(0) if self.statuses else self.otherwise
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._changed.notify_all()
        if self.pause:
            time.sleep(self.pause)
        self.gate.wait(30)
        with self._changed:
            self.at_once -= 1  # before the answer, after which the next may come
            self._changed.notify_all()
        return status

    def serve(self, connection: Connection) -> None:
        """The script of its receiver."""
        while (arrival := connection.arrival()) is not None:
            connection.answer(self.take(arrival), self.headers, self.answer)

    def wait_for(self, count: int, seconds: float = 20) -> list[Arrival]:
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.arrivals) >= count, seconds)
        assert enough, f"{len(self.arrivals)} of {count} webhooks came: {[a.body for a in self.arrivals]}"
        return list(self.arrivals)


@contextmanager
def open_shop(port: int = 0) -> Iterator[tuple[Shop, str]]:
    """The shop and its callback URL."""
    shop = Shop()
    receiver = Receiver(shop.serve, port=port)
    try:
        yield shop, receiver.url
    finally:
        shop.gate.set()
        receiver.close()
