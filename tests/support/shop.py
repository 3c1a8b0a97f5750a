"""A merchant's server on a real socket: keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cerber import signing


@dataclass(frozen=True)
class Arrival:
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def is_signed_with(self, secret: str) -> bool:
        return signing.verify(secret, self.body, self.headers["signature"])


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

    def wait_for(self, count: int, seconds: float = 20) -> list[Arrival]:
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.arrivals) >= count, seconds)
        assert enough, f"{len(self.arrivals)} of {count} webhooks came: {[a.body for a in self.arrivals]}"
        return list(self.arrivals)


@contextmanager
def open_shop(port: int = 0) -> Iterator[tuple[Shop, str]]:
    """The shop and its callback URL."""
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = shop.take(Arrival({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            for name, value in shop.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(shop.answer)))
            self.end_headers()
            self.wfile.write(shop.answer)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever was to be answered has gone: a worker that was killed, or that waits no longer."""

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield shop, f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        shop.gate.set()
        server.shutdown()
        server.server_close()
