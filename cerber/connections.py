"""Connections that the outside can't hold up or lead astray: what `cerber.egress` is made of.

A `Call` is one attempt: its time, and the guard of contract section 6. Its sockets keep to its time, the connections
open only where it lets them. Tunnels through a proxy are urllib3's.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Timeout

from cerber.addresses import Address, is_public
from cerber.failures import AttemptFailed, Failure, named
from cerber.kept import Kept
from cerber.lookups import LookupFailed, Lookups
from cerber.sockets import PlainSocket, TLSSocket

LONGEST_LINE = 64 * 1024
MOST_HEADERS = 100
ADDRESSES_TRIED = 4


@dataclass(frozen=True, slots=True)
class Common:
    """What all calls of one Egress have in common. Seconds."""

    allow_private: bool
    connect_timeout: float
    total_timeout: float
    lookups: Lookups
    kept: Kept[GuardedConnection]


class Call(Timeout):
    """One attempt. It goes down through requests as the timeout that it is."""

    def __init__(self, common: Common) -> None:
        super().__init__()
        self.common = common
        self.started = time.monotonic()
        self.deadline = self.started + common.total_timeout
        self.connection: GuardedConnection
        self.sock: PlainSocket | TLSSocket | None = None

    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self.started

    def use(self, sock: PlainSocket | TLSSocket, deadline: float | None = None) -> None:
        """From here on this is the attempt's socket, until the deadline: without one, that of the whole call."""
        self.sock = sock
        sock.allot(self.deadline if deadline is None else deadline)

    def headers_came(self) -> None:
        """From here on the end of the stream is the end of the body."""
        if self.sock is not None:
            self.sock.in_headers = False

    @property
    def heard(self) -> bool:
        """Whether anything of an answer came."""
        return self.sock is not None and self.sock.heard

    def open(self, host: str, port: int) -> socket.socket:
        """Connects to one of the host's addresses, if all of them are public. Raises AttemptFailed."""
        addresses = self._look_up(host)
        inside = [str(address) for address in addresses if not is_public(address)]
        if inside and not self.common.allow_private:
            raise AttemptFailed(Failure.blocked_address, f"{host} leads to {inside[0]}, which is not public")
        return self._reach(addresses[:ADDRESSES_TRIED], port)

    def open_proxy(self, host: str, port: int) -> socket.socket:
        """Connects to our own proxy, which may be anywhere. What fails here is ours."""
        try:
            return self._reach(self._look_up(host)[:ADDRESSES_TRIED], port)
        except AttemptFailed as failed:
            raise AttemptFailed(Failure.own_side, f"the proxy can't be reached: {failed.detail}") from None

    def _look_up(self, host: str) -> list[Address]:
        try:
            return self.common.lookups.addresses(host, _until(self.deadline))
        except LookupFailed as error:
            raise AttemptFailed(Failure.own_dns if error.ours else Failure.dns, str(error)) from None

    def _reach(self, addresses: list[Address], port: int) -> socket.socket:
        """Tries one address after the other; each has its share of the time, so that a dead one leaves some."""
        end = min(time.monotonic() + self.common.connect_timeout, self.deadline)
        failed = AttemptFailed(Failure.dns, "the name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                sock = _connected(address, port, _until(end) / left)
            except OSError as error:
                failed = _not_connected(error, address, port)
            else:
                self.use(sock, end)  # what is left is for a tunnel and for TLS to begin
                return sock
        raise failed


def _until(moment: float) -> float:
    """Seconds; never 0, which sockets take for "don't wait", and never less."""
    return max(moment - time.monotonic(), 0.001)


def _connected(address: Address, port: int, seconds: float) -> PlainSocket:
    sock = PlainSocket(_family(address), socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((str(address), port))
    except BaseException:  # whatever it is goes on up; nobody else knows of this socket
        sock.close()
        raise
    return sock


def _not_connected(error: OSError, address: Address, port: int) -> AttemptFailed:
    failed = named(error, heard=False)
    if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        routed = _has_route(address)
        if routed and error.errno == errno.ENETUNREACH:
            failed.failure = Failure.unreachable  # a router on the way said so, and any can
        elif not routed and address.version == 6:
            failed.failure = Failure.unreachable  # many machines have no IPv6; without IPv4 we have no network
    return AttemptFailed(failed.failure, f"{address} port {port}: {failed.detail}")


def _has_route(address: Address) -> bool:
    """Whether this machine would know where to send a packet. It sends none: that's what connecting UDP means."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
    except OSError:
        return False
    return True


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


class Answer(http.client.HTTPResponse):
    """An answer, all of whose informational forerunners are skipped; http.client by itself skips 100 only."""

    def begin(self) -> None:
        """As http.client does it, but what a header means is not asked where we don't need it.

        http.client has a parser of e-mails read the headers, to which some values of Content-Type are a ValueError.
        """
        status = 100
        while 100 <= status < 200:
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
            if not version.startswith("HTTP/1."):
                raise http.client.UnknownProtocol(version)
            self.headers = self.msg = _headers(self.fp)
        self.code = self.status = status
        self.reason = reason.strip()
        self.version = 10 if version == "HTTP/1.0" else 11
        empty = status in (204, 304)
        self.chunked = not empty and self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        length = self.headers.get("Content-Length", "").strip()
        self.length: int | None = int(length) if re.fullmatch("[0-9]{1,18}", length) and not self.chunked else None
        if empty:
            self.length = 0
        self.will_close = self._check_close() or (not self.chunked and self.length is None)  # type: ignore[attr-defined]

    @property
    def whole(self) -> bool:
        """Whether all of the body has been read, so that the connection is ready for the next request."""
        return not self.will_close and (self.length == 0 or (self.chunked and self.isclosed()))


def _headers(file: io.BufferedIOBase) -> http.client.HTTPMessage:
    lines: list[bytes] = []
    while (line := file.readline(LONGEST_LINE + 1)).strip(b"\r\n"):
        if len(line) > LONGEST_LINE:
            raise http.client.LineTooLong("header line")
        if len(lines) == MOST_HEADERS:
            raise http.client.HTTPException(f"got more than {MOST_HEADERS} headers")
        lines.append(line)
    text = b"".join(lines).decode("latin-1")
    return HeaderParser(http.client.HTTPMessage).parsestr(text)


class GuardedConnection(HTTPConnection):
    """A connection that opens where its call lets it, and answers as the server did: nothing is decoded."""

    response_class = Answer
    putheader = http.client.HTTPConnection.putheader  # urllib3's looks for a mark in each value that we never set
    endpoint: object = None
    sock: Any  # PlainSocket or TLSSocket, once open
    call: Call
    opened = 0.0
    _request: bytearray | None = None

    def exchange(self, call: Call, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Sends a request and waits for the headers of its answer. Raises AttemptFailed, and is closed then."""
        self.call = call
        call.connection = self
        try:
            return self._exchange(method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise named(error, heard=call.heard) from error
        except BaseException:  # AttemptFailed, or what nobody foresaw: it goes on up, the socket does not stay open
            self.close()
            raise

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """By http.client's own methods: urllib3's around them cost as much again, for what isn't used here."""
        if self.sock is None:
            self.connect()
        else:
            self.call.use(self.sock)
        self._request = bytearray()
        http.client.HTTPConnection.request(self, method, target, body, headers)
        request, self._request = self._request, None
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered without reading everything
            self.sock.sendall(request)
        answer = http.client.HTTPConnection.getresponse(self)
        self.call.headers_came()
        return cast(Answer, answer)

    def send(self, data: Any) -> None:
        """Collects a request: http.client sends headers and body apart, and two packets cost twice on both sides."""
        if self._request is None:
            super().send(data)
        else:
            self._request += data

    def connect(self) -> None:
        super().connect()
        self.opened = time.monotonic()
        self.call.use(self.sock)

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None:
            return self.call.open_proxy(self._dns_host, self.port)
        return self.call.open(self._dns_host, self.port)

    def _tunnel(self) -> None:
        """A proxy that refuses a tunnel is ours to mend, unless it says that it couldn't reach the receiver."""
        try:
            super()._tunnel()
        except (TimeoutError, ConnectionError):
            raise
        except OSError as error:
            theirs = re.search(r"failed: 50[234]\b", str(error))
            raise AttemptFailed(Failure.unreachable if theirs else Failure.own_side, f"proxy: {error}") from None
        except http.client.HTTPException as error:
            raise AttemptFailed(Failure.own_side, f"the proxy speaks no HTTP: {error}") from None


class GuardedTLSConnection(GuardedConnection, HTTPSConnection):
    """The same with TLS, held to the host's name."""

    @property
    def is_connected(self) -> bool:
        """Whether it's open, and silent: TLS may have read on already."""
        return bool(super().is_connected and not self.sock.unread)
