"""Visitors who drip: what everybody else feels, and how long one may hold a thread."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from flask import Flask

from cerber import signing
from tests.support.factories import MerchantKeys, open_payment
from tests.support.web import Web, web

pytestmark = pytest.mark.timeout(180)
CALLS = 60
READ_SECONDS = 10.0  # of script/gunicorn.conf.py
HEAD = b"POST /bot_api/get_wallet/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
DRIPS = {"headers": HEAD + b"X-Slow: ", "body": HEAD + b"Content-Length: 16000\r\n\r\n{"}


@pytest.fixture
def running(env: dict[str, str]) -> Iterator[Web]:
    with web(env) as found:
        yield found


class Drip:
    """A connection on which a request arrives byte by byte, and never ends."""

    def __init__(self, port: int, kind: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(DRIPS[kind])
        self._since = time.monotonic()
        self.lived = 0.0

    def drop(self) -> bool:
        """Whether it goes on."""
        try:
            self._socket.sendall(b"a")
            self._socket.setblocking(False)
            ended = not self._socket.recv(65536)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        self._socket.setblocking(True)
        self.lived = time.monotonic() - self._since
        return not ended

    def close(self) -> None:
        self._socket.close()


@contextmanager
def dripping(port: int, number: int) -> Iterator[None]:
    """So many at any time: who is cut off comes again at once."""
    stop = threading.Event()
    kinds = ["headers", "body"] * (number // 2)

    def drip() -> None:
        drips = [Drip(port, kind) for kind in kinds]
        while not stop.wait(0.2):
            for place, kind in enumerate(kinds):
                if not drips[place].drop():
                    drips[place].close()
                    drips[place] = Drip(port, kind)
        for one in drips:
            one.close()

    thread = threading.Thread(target=drip)
    thread.start()
    time.sleep(0.5)  # until each has been read from: the moment of which the test is
    yield
    stop.set()
    thread.join()


def honest(port: int, keys: MerchantKeys) -> float:
    """The time within which 95 of 100 calls of an honest merchant were answered, each on a new connection."""
    body = json.dumps({"payment_id": "3636363"}).encode()
    headers = {"Signature": signing.sign(keys.payment_secret, body), "Content-Type": "application/json"}
    took = []
    for _ in range(CALLS):
        begun = time.monotonic()
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/bot_api/get_status/", body, headers)
        assert connection.getresponse().status == 200
        connection.close()
        took.append(time.monotonic() - begun)
    return sorted(took)[int(CALLS * 0.95)]


def test_honest_merchants_feel_nothing_of_2_to_16_that_drip(app: Flask, keys: MerchantKeys, running: Web) -> None:
    open_payment(app, keys)
    honest(running.port, keys)
    quiet = honest(running.port, keys)
    felt = {}
    for number in (2, 4, 8, 16):
        with dripping(running.port, number):
            felt[number] = honest(running.port, keys)
    assert max(felt.values()) <= max(2 * quiet, 0.25), (quiet, felt)


def test_who_drips_and_who_sends_nothing_are_cut_off(app: Flask, running: Web) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=3 * READ_SECONDS) as silent:
        drips = [Drip(running.port, kind) for kind in DRIPS]
        going_on = drips
        while going_on and going_on[0].lived < 3 * READ_SECONDS:
            time.sleep(0.2)
            going_on = [one for one in going_on if one.drop()]
        for one in drips:
            one.close()
            assert READ_SECONDS - 1 < one.lived < READ_SECONDS + 5
        assert silent.recv(1) == b""
