"""A merchant's server on a real socket: keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cerber import signing


@dataclass(frozen=True)
class Arrival:
    headers: dict[str, str]
    body: bytes

    def is_signed_with(self, secret: str) -> bool:
        return signing.verify(secret, self.body, self.headers["signature"])


class Shop:
    """Answers with `statuses` in turn, then 200. `gate` holds answers back while it is cleared."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.statuses: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self._changed = threading.Condition()

    def take(self, arrival: Arrival) -> int:
        with self._changed:
            self.arrivals.append(arrival)
            status = self.statuses.pop(0) if self.statuses else 200
            self._changed.notify_all()
        self.gate.wait(30)
        return status

    def wait_for(self, count: int, seconds: float = 20) -> list[Arrival]:
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.arrivals) >= count, seconds)
        assert enough, f"{len(self.arrivals)} of {count} webhooks came: {[a.body for a in self.arrivals]}"
        return list(self.arrivals)


@contextmanager
def open_shop() -> Iterator[tuple[Shop, str]]:
    """The shop and its callback URL."""
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = shop.take(Arrival({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield shop, f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        shop.gate.set()
        server.shutdown()
        server.server_close()
