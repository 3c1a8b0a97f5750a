"""What another shop feels of merchants whose endpoints look well and then hang: real workers, on both databases."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
from flask import Flask

from tests.support.factories import MerchantKeys, make_merchant
from tests.support.receivers import OK, Connection, Receiver, Script
from tests.support.shop import Shop
from tests.support.workers import fill, put, until, worker

THREADS = 16
ENDPOINTS = 10  # of each bad neighbour
QUICK_TIMES = 20
HANGS = 5.0  # seconds, in turns
P95 = 0.25  # seconds from the commit of an event to its arrival
EVENTS = 60
TRIES = 3  # what else the machine does passes; what neighbours did to others lasted as long as they went on


class Neighbour:
    """An owner of many endpoints. Each of them answers at once twenty times, then hangs, then is quick again."""

    def __init__(self, stack: ExitStack) -> None:
        self._over = threading.Event()
        self._turns: Counter[int] = Counter()
        self._hanging = 0
        self.most_hanging = 0
        self._lock = threading.Lock()
        receivers = [Receiver(self._script(number)) for number in range(ENDPOINTS)]
        for receiver in receivers:
            stack.callback(receiver.close)
        stack.callback(self._over.set)
        self.urls = [receiver.url for receiver in receivers]

    @property
    def hanging(self) -> int:
        return self._hanging

    def _script(self, number: int) -> Script:
        def script(connection: Connection) -> None:
            while connection.request():
                with self._lock:
                    self._turns[number] += 1
                    hangs = self._turns[number] % (2 * QUICK_TIMES) >= QUICK_TIMES
                if hangs:
                    self._hang()
                connection.send(OK)

        return script

    def _hang(self) -> None:
        with self._lock:
            self._hanging += 1
            self.most_hanging = max(self.most_hanging, self._hanging)
        self._over.wait(HANGS)
        with self._lock:
            self._hanging -= 1


@contextmanager
def neighbours(app: Flask, owners: int) -> Iterator[list[Neighbour]]:
    """Each with a backlog for each of its endpoints."""
    with ExitStack() as stack:
        found = [Neighbour(stack) for _ in range(owners)]
        for number, neighbour in enumerate(found):
            keys = make_merchant(app, f"neighbour-{number}")
            for url in neighbour.urls:
                fill(app, keys, url, 300)
        until(lambda: all(neighbour.hanging for neighbour in found), 60)
        yield found


class Another:
    """A shop that is sent an event now and then."""

    def __init__(self, app: Flask, keys: MerchantKeys, counter: Shop, url: str) -> None:
        self._put = partial(put, app, keys, url)
        self._counter = counter
        self._sent = 0

    def waits(self, count: int) -> float:
        """The 95th of a hundred such waits from an event's commit to its arrival, in seconds."""
        waits = []
        for _ in range(count):
            self._put(str(self._sent))
            committed, self._sent = time.monotonic(), self._sent + 1
            waits.append(self._counter.wait_for(self._sent, 60)[self._sent - 1].at - committed)
            threading.Event().wait(0.2)  # the attack goes on through all of its phases
        return sorted(waits)[int(count * 0.95)]


@pytest.mark.parametrize("owners", [1, 3])
def test_another_shop_gets_its_webhooks_as_ever(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], owners: int
) -> None:
    another = Another(app, keys, *shop)
    with worker(env | {"CERBER_DELIVERY_THREADS": str(THREADS)}):
        another.waits(1)  # from here on it is no new endpoint
        with neighbours(app, owners) as bad:
            assert any(another.waits(EVENTS) <= P95 for _ in range(TRIES))
    assert max(neighbour.most_hanging for neighbour in bad) <= THREADS // 2
    assert sum(neighbour.most_hanging for neighbour in bad) > 2  # they had more than a few of those who are ill
