"""urllib3's connections, which open only where the guard lets them, and fail in our terms."""

from __future__ import annotations

import http.client
import re
import socket
import time
from contextlib import suppress
from typing import Any

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from cerber.webhooks.client.answers import Answer
from cerber.webhooks.client.failures import AttemptFailed, Failure, named
from cerber.webhooks.client.guard import CALL

SECONDS = 60.0  # since opened: a name that moves is followed, and no firewall has forgotten the connection yet

_ERRORS = (OSError, http.client.HTTPException)


class Connection(HTTPConnection):
    """For http, and what TLS goes over. Its methods raise AttemptFailed."""

    response_class = Answer
    putheader = http.client.HTTPConnection.putheader  # urllib3's looks for a mark in each value that we never set
    sock: Any  # a plain socket or TLS's, once open
    opened_at = 0.0
    _outgoing: bytearray | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the next request may use it: it's young and open, and no answer that nobody asked for came."""
        is_young = self.opened_at + SECONDS > time.monotonic()
        return is_young and not CALL.get().wants_new and super().is_connected

    def _new_conn(self) -> socket.socket:
        # urllib3's own would look the name up anew, after any check of ours, and has no hook in between.
        call = CALL.get()
        return call.open_proxy(self.host, self.port) if self.proxy else call.open(self.host, self.port)

    def connect(self) -> None:
        try:
            super().connect()
        except _ERRORS as error:
            raise _tunnel_refused(error) or _failed(error) from error
        self.opened_at = time.monotonic()
        CALL.get().use(self.sock)

    def request(self, *args: Any, **more: Any) -> None:
        try:
            if self.sock is not None:
                CALL.get().use(self.sock)
            self._outgoing = bytearray()
            super().request(*args, **more)
            data, self._outgoing = self._outgoing, None
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered without reading everything
                self.send(data)
        except _ERRORS as error:
            raise _failed(error) from error

    def putrequest(self, method: str, url: str, *args: Any, **more: Any) -> None:
        """With the target as the merchant gave it; urllib3 would encode it anew."""
        super().putrequest(method, CALL.get().target, *args, **more)

    def send(self, data: Any) -> None:
        """Collects a request: headers and body would go apart, and two packets cost twice on both sides."""
        if self._outgoing is None:
            super().send(data)
        else:
            self._outgoing += data

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        try:
            return super().getresponse()
        except _ERRORS as error:
            raise _failed(error) from error


class TLSConnection(Connection, HTTPSConnection):
    """The same with TLS, held to the host's name."""

    @property
    def is_connected(self) -> bool:
        """Whether it's open, and silent: TLS may have read on already."""
        return super().is_connected and not self.sock.pending()


def _failed(error: OSError | http.client.HTTPException) -> AttemptFailed:
    call = CALL.get()
    return named(TimeoutError() if call.is_over else error, heard=call.is_heard)


def _tunnel_refused(error: Exception) -> AttemptFailed | None:
    """A proxy that refuses a tunnel is ours to mend, unless it says that it couldn't reach the receiver."""
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return AttemptFailed(Failure.own_side, f"the proxy speaks no HTTP: {error}")
    refused = re.match("Tunnel connection failed: (50[234] )?", str(error))
    failure = Failure.unreachable if refused and refused[1] else Failure.own_side
    return AttemptFailed(failure, f"proxy: {error}") if refused else None
