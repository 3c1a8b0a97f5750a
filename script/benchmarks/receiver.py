"""A receiver of webhooks in a process of its own, which notes when each one came."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import places

ADDRESSES = 8
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Arrivals:
    count: int
    seconds: float

    @property
    def rate(self) -> float:
        return (self.count - 1) / self.seconds


class Receiver:
    """It listens on one port of several addresses of this machine, so that each is an endpoint of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._report = f"http://127.0.0.1:{port}/report"

    def url(self, n: int = 0) -> str:
        """Where it takes webhooks: as one of `ADDRESSES` endpoints."""
        return f"http://127.0.0.{n + 1}:{self._port}/hook"

    def wait(self, count: int, patience: float = 120.0) -> Arrivals:
        """Waits for so many since the last wait."""
        ends = time.monotonic() + patience
        while (arrived := Arrivals(**self._asked(""))).count < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{arrived.count} of {count} webhooks came")
            time.sleep(0.2)
        self._asked("?reset")
        return arrived

    def times(self, count: int) -> dict[str, float]:
        """When each of so many came, by its webhook-id: seconds of the machine's monotonic clock."""
        ends = time.monotonic() + places.PATIENCE
        while len(times := self._asked("?times")) < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{len(times)} of {count} webhooks came")
            time.sleep(0.5)
        return times

    def _asked(self, query: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.load(urllib.request.urlopen(self._report + query))  # a URL of our own  # nosec B310
        return answer


@contextmanager
def receiver(takes: float = 0.0) -> Iterator[Receiver]:
    """Answers after `takes` seconds."""
    port = places.free_port()
    process = _fork.Process(target=lambda: asyncio.run(_serve(port, takes)), daemon=True)
    process.start()
    places.wait_for_port(port)
    try:
        yield Receiver(port)
    finally:
        process.kill()
        process.join()


class _Counted:
    takes = 0.0
    count = 0
    first = last = 0.0
    times: dict[str, float] = {}  # noqa: RUF012


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._data) < end + 4 + length:
            return
        self._data.clear()
        if head.startswith(b"post"):
            self._take(head)
        else:
            self._report(head)

    def _take(self, head: bytes) -> None:
        _Counted.last = time.monotonic()
        _Counted.first = _Counted.first or _Counted.last
        _Counted.count += 1
        if (at := head.find(b"webhook-id:")) >= 0:
            _Counted.times.setdefault(head[at + 11 :].split(b"\r\n", 1)[0].strip().decode(), _Counted.last)
        if _Counted.takes:
            asyncio.get_running_loop().call_later(_Counted.takes, self._transport.write, _OK)  # type: ignore[attr-defined]
        else:
            self._transport.write(_OK)  # type: ignore[attr-defined]

    def _report(self, head: bytes) -> None:
        counted = {"count": _Counted.count, "seconds": _Counted.last - _Counted.first}
        text = json.dumps(_Counted.times if b"?times" in head else counted).encode()
        if b"?reset" in head:
            _Counted.count, _Counted.first, _Counted.last = 0, 0.0, 0.0
            _Counted.times.clear()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)  # type: ignore[attr-defined]


async def _serve(port: int, takes: float) -> None:
    _Counted.takes = takes
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.create_server(_Connection, f"127.0.0.{n + 1}", port) for n in range(ADDRESSES)))
    await asyncio.Event().wait()
