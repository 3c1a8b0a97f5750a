"""Sockets whose every wait ends at a deadline, and that give out a bounded number of bytes: plain, and with TLS."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

WIRE_READ = 256 * 1024  # of one answer: headers, body, the marks of its chunks and of TLS; as much for the handshake
TLS_READ = 16 * 1024  # at once


class PlainSocket(socket.socket):
    """The socket of http, and what TLS goes over.

    Its every wait ends at the call's deadline, and it gives out a bounded number of bytes. A timeout alone bounds
    each wait, so that a byte a second would hold a thread for hours.
    """

    _deadline = 0.0
    _left = 0
    heard = False
    in_headers = True

    def allot(self, deadline: float) -> None:
        self._deadline = deadline
        self._left = WIRE_READ
        self.heard = False
        self.in_headers = True

    def recv_into(self, *args: Any) -> int:
        self._hurry()
        size = super().recv_into(*args)
        _check_end(self, size)
        self._left -= size
        return size

    def recv(self, *args: Any) -> bytes:
        self._hurry()
        data = super().recv(*args)
        self._left -= len(data)
        return data

    def sendall(self, *args: Any) -> None:
        self._hurry()
        super().sendall(*args)

    def _hurry(self) -> None:
        if self._left <= 0:
            raise http.client.HTTPException("the answer is too long")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


class TLSSocket:
    """The socket of https: TLS in memory, over a PlainSocket.

    OpenSSL is not given the socket itself, since it reads on past every timeout while records come that hold no data.
    """

    heard = False
    in_headers = True

    def __init__(self, wire: PlainSocket, context: ssl.SSLContext, name: str | None) -> None:
        self._wire = wire
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._files = 0
        self._closed = False
        self._run(self._tls.do_handshake)

    def allot(self, deadline: float) -> None:
        self._wire.allot(deadline)
        self.heard = False
        self.in_headers = True

    def recv_into(self, buffer: memoryview) -> int:
        try:
            size: int = self._run(self._tls.read, len(buffer), buffer)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            size = 0
        _check_end(self, size)
        return size

    def sendall(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._run(self._tls.write, rest) :]

    @property
    def unread(self) -> bool:
        """Whether something came that nobody has read yet."""
        return bool(self._incoming.pending or self._tls.pending())

    def fileno(self) -> int:
        return self._wire.fileno()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The answer reads from this; it may outlive `close`, as with other sockets."""
        self._files += 1
        return io.BufferedReader(_TLSFile(self))

    def file_closed(self) -> None:
        self._files -= 1
        if self._closed and not self._files:
            self._wire.close()

    def close(self) -> None:
        self._closed = True
        if not self._files:
            self._wire.close()

    def _run(self, step: Callable[..., Any], *args: Any) -> Any:
        """Lets TLS do something, and carries for it what goes over the wire."""
        while True:
            try:
                done = step(*args)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._wire.recv(TLS_READ)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # it tells the other side why
                raise
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._wire.sendall(self._outgoing.read())


class _TLSFile(io.RawIOBase):
    def __init__(self, sock: TLSSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._sock.file_closed()


class TLSContext(ssl.SSLContext):
    """Makes our kind of TLS socket for urllib3."""

    def wrap_socket(  # type: ignore[override]
        self, sock: PlainSocket, *, server_hostname: str | None = None, **_: object
    ) -> TLSSocket:
        return TLSSocket(sock, self, server_hostname)


def _check_end(sock: PlainSocket | TLSSocket, size: int) -> None:
    """After each read. http.client would take the end of the stream for the end of the headers."""
    if size:
        sock.heard = True
    elif sock.in_headers:
        raise http.client.RemoteDisconnected("closed before the headers were complete")
