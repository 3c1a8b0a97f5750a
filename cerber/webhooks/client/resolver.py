"""Names into addresses, in bounded time: `getaddrinfo` has no time limit and can't be interrupted."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future
from ipaddress import ip_address

from cerber.addresses import Address, literal_address
from cerber.webhooks.client.failures import AttemptFailed, Failure

MOST_SILENT = 4096  # names remembered as silent; who makes up more of them is given the benefit of the doubt again


class Resolver:
    """Looks up names. One instance serves all threads; nothing is cached.

    Each lookup runs on a thread of its own, which is left behind when it takes too long; the resolver itself ends it
    within a minute or so. No two run for one name at a time: who asks meanwhile waits for the same answer. So a name
    whose servers hang holds one thread, however often it is tried.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Future[list[Address]]] = {}
        self._silent_since: dict[str, float] = {}
        self._last_answer = 0.0

    def addresses(self, host: str, timeout: float) -> list[Address]:
        """What `host` stands for now, in the order to try. Waits `timeout` seconds. Raises AttemptFailed."""
        literal = literal_address(host)
        if literal is not None:
            return [literal]
        try:
            found = self._start(host).result(timeout)
        except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: the system gives us no more threads
            raise AttemptFailed(*self._blamed(host, error)) from None
        self._answered(host)
        return found

    def _start(self, host: str) -> Future[list[Address]]:
        with self._lock:
            if host not in self._running:
                future: Future[list[Address]] = Future()
                threading.Thread(target=self._run, args=(host, future), name="lookup", daemon=True).start()
                self._running[host] = future
            return self._running[host]

    def _run(self, host: str, future: Future[list[Address]]) -> None:
        found, failed = [], None
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except Exception as error:  # any: it's theirs who wait, and without it they'd wait till their time is over
            failed = error
        with self._lock:
            del self._running[host]  # before the answer is out: nobody is given one older than their question
        if failed:
            future.set_exception(failed)
        else:
            future.set_result(list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found)))

    def _blamed(self, host: str, error: Exception) -> tuple[Failure, str]:
        match error:
            case UnicodeError():
                return Failure.dns, f"{host} is no valid name"
            case socket.gaierror() if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                self._answered(host)
                return Failure.dns, f"{host} has no address"
            case socket.gaierror() | TimeoutError():
                why = error.strerror or "the name servers didn't answer in time"
                return self._silence(host), f"{host}: {why}"
            case _:  # EAI_SYSTEM, as with no sockets left, or no thread
                return Failure.own_dns, f"{host}: {error}"

    def _answered(self, host: str) -> None:
        with self._lock:
            self._last_answer = time.monotonic()
            self._silent_since.pop(host, None)

    def _silence(self, host: str) -> Failure:
        """Ours, unless another name was answered after this one fell silent.

        The resolver reports one error, EAI_AGAIN, for itself being cut off and for a name's servers being down.
        """
        with self._lock:
            since = self._silent_since.setdefault(host, time.monotonic())
            if len(self._silent_since) > MOST_SILENT:
                del self._silent_since[next(iter(self._silent_since))]
            return Failure.own_dns if self._last_answer <= since else Failure.dns
