"""The one place where a connection is opened: only to addresses that contract section 6 lets webhooks go to."""

from __future__ import annotations

import errno
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from cerber.addresses import Address, is_public
from cerber.webhooks.callback_urls import CallbackUrl
from cerber.webhooks.client.deadline import Watch, Watchdog
from cerber.webhooks.client.failures import AttemptFailed, Failure, named
from cerber.webhooks.client.resolver import Resolver

ADDRESSES_TRIED = 4


@dataclass
class Call:
    """One attempt: what it may do, its time in seconds, and what is known of it so far."""

    allow_private: bool
    connect_timeout: float
    total_timeout: float
    resolver: Resolver
    watchdog: Watchdog
    url: CallbackUrl = field(init=False)
    target: str = ""  # of the request
    started: float = field(default_factory=time.monotonic)
    wants_new: bool = False  # a connection opened for this call, not one that was kept
    uses_kept: bool = False
    is_heard: bool = False  # whether anything of an answer came
    watch: Watch | None = None

    @property
    def is_over(self) -> bool:
        """Whether its time was over before it was."""
        return self.watch is not None and self.watch.is_over

    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self.started

    @property
    def deadline(self) -> float:
        return self.started + self.total_timeout

    def open(self, host: str, port: int) -> socket.socket:
        """Connects to one of the host's addresses, if all of them are public. Raises AttemptFailed."""
        addresses = self.resolver.addresses(host, _until(self.deadline))
        inside = [str(address) for address in addresses if not is_public(address)]
        if inside and not self.allow_private:
            raise AttemptFailed(Failure.blocked_address, f"{host} leads to {inside[0]}, which is not public")
        return self._reach(addresses[:ADDRESSES_TRIED], port)

    def open_proxy(self, host: str, port: int) -> socket.socket:
        """Connects to our own proxy, which may be anywhere. What fails here is ours."""
        try:
            return self._reach(self.resolver.addresses(host, _until(self.deadline))[:ADDRESSES_TRIED], port)
        except AttemptFailed as failed:
            raise AttemptFailed(Failure.own_side, f"the proxy can't be reached: {failed.detail}") from None

    def use(self, sock: socket.socket) -> None:
        """Uses a connection until the deadline: a kept one, unless it was opened here. Raises OSError."""
        if self.watch is None:
            self.uses_kept = True
            self.watch = self.watchdog.watch(sock, self.deadline)
        self.watch.deadline = self.deadline

    def release(self) -> None:
        """Before another call can take the connection."""
        if self.watch is not None:
            self.watchdog.release(self.watch)
            self.watch = None

    def end(self) -> None:
        """Ends the connection too, unless it was released."""
        if self.watch is not None:
            self.watch.shut_down()
            self.release()

    def _reach(self, addresses: list[Address], port: int) -> socket.socket:
        """Tries one address after the other; each has its share of the time, so that a dead one leaves some."""
        end = min(time.monotonic() + self.connect_timeout, self.deadline)
        failed = AttemptFailed(Failure.dns, "the name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return self._connected(address, port, end, left)
            except OSError as error:
                failed = _not_connected(error, address, port)
        raise failed

    def _connected(self, address: Address, port: int, end: float, left: int) -> socket.socket:
        """Takes a part of the time until `end`; what is left of it is for a tunnel and for TLS to begin."""
        sock = socket.socket(_family(address), socket.SOCK_STREAM)
        try:
            sock.settimeout(_until(end) / left)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((str(address), port))
            self.watch = self.watchdog.watch(sock, end)
            sock.settimeout(self.total_timeout)
        except BaseException:  # whatever it is goes on up; nobody else knows of this socket
            sock.close()
            raise
        return sock


CALL: ContextVar[Call] = ContextVar("call")  # urllib3 hands nothing of ours down to the connections that it makes


def _until(moment: float) -> float:
    """Seconds; never 0, which sockets take for "don't wait", and never less."""
    return max(moment - time.monotonic(), 0.001)


def _not_connected(error: OSError, address: Address, port: int) -> AttemptFailed:
    failed = named(error, heard=False)
    if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        # With a route, a router on the way said so, and any can. Many machines have no IPv6; without IPv4 it's ours.
        is_theirs = error.errno == errno.ENETUNREACH if _has_route(address) else address.version == 6
        failed.failure = Failure.unreachable if is_theirs else failed.failure
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
