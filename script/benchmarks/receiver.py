"""A fast receiver of webhooks in a process of its own, which notes when the first and the last one came."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.places import free_port, wait_for_port

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
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self._report = f"http://127.0.0.1:{port}/report"

    def wait(self, count: int, patience: float = 120.0) -> Arrivals:
        """Waits for so many since the last wait."""
        ends = time.monotonic() + patience
        while (arrived := self._arrived()).count < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{arrived.count} of {count} webhooks came")
            time.sleep(0.2)
        urllib.request.urlopen(f"{self._report}?reset").read()
        return arrived

    def _arrived(self) -> Arrivals:
        return Arrivals(**json.load(urllib.request.urlopen(self._report)))


@contextmanager
def receiver() -> Iterator[Receiver]:
    port = free_port()
    process = _fork.Process(target=lambda: asyncio.run(_serve(port)), daemon=True)
    process.start()
    wait_for_port(port)
    try:
        yield Receiver(port)
    finally:
        process.kill()
        process.join()


class _Counted:
    count = 0
    first = last = 0.0


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
        self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"post"):
            _Counted.last = time.perf_counter()
            _Counted.first = _Counted.first or _Counted.last
            _Counted.count += 1
            self._transport.write(_OK)  # type: ignore[attr-defined]
            return
        text = json.dumps({"count": _Counted.count, "seconds": _Counted.last - _Counted.first}).encode()
        if b"?reset" in head:
            _Counted.count, _Counted.first, _Counted.last = 0, 0.0, 0.0
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)  # type: ignore[attr-defined]


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()
