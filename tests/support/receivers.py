"""The receiver of webhooks for tests: a real socket on 127.0.0.1 that does whatever a script tells it."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cerber import signing

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Arrival:
    """A request as a merchant's server reads it. The headers' names are in small letters."""

    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    def is_signed_with(self, secret: str) -> bool:
        return signing.verify(secret, self.body, self.headers["signature"])


class Connection:
    """One accepted connection, as a script sees it."""

    def __init__(self, receiver: Receiver, sock: socket.socket) -> None:
        self.receiver = receiver
        self.sock = sock

    def request(self) -> bytes:
        """The next whole request; b"" where the other side has closed."""
        data = b""
        while b"\r\n\r\n" not in data or len(data) < _length(data):
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            data += piece
        self.receiver.requests.append(data)
        return data

    def arrival(self) -> Arrival | None:
        """The next whole request, as it is meant; None where the other side has closed, or was killed half-way."""
        head, _, body = self.request().partition(b"\r\n\r\n")
        if not head:
            return None
        lines = (line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
        return Arrival({name.lower(): value for name, value in lines}, body)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} as told", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def reset(self) -> None:
        """Closes so that the other side gets an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self) -> None:
        """Until the test is over or the other side closes."""
        while not self.receiver.over.is_set() and self.sock.recv(65536):
            pass

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        """A byte at a time."""
        for byte in data:
            self.send(bytes([byte]))
            if self.receiver.over.wait(seconds):
                return


def _length(data: bytes) -> int:
    head, _, _ = data.partition(b"\r\n\r\n")
    match = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
    return len(head) + 4 + (int(match[1]) if match else 0)


Script = Callable[[Connection], None]


class Receiver:
    """Listens on a port of its own and runs its script for each connection. Counts connections, keeps requests."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.script = script
        self.tls = tls
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self._open: list[Connection] = []
        self._listening = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for connection in self._open:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = Connection(self, self._listening.accept()[0])
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError):
            if self.tls:
                connection.start_tls(self.tls)
            self.script(connection)
        connection.sock.close()


def answering(*answers: bytes) -> Script:
    """Answers each request on a connection with the next of these, the last one again and again."""

    def script(connection: Connection) -> None:
        turn = 0
        while connection.request():
            connection.send(answers[min(turn, len(answers) - 1)])
            turn += 1

    return script
