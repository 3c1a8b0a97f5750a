"""Names into addresses, in bounded time: `getaddrinfo` has no time limit and can't be interrupted."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future
from ipaddress import ip_address

from cerber.addresses import Address, literal_address

MOST_SILENT = 4096  # names remembered as silent; who makes up more of them is given the benefit of the doubt again

_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}


class LookupFailed(Exception):
    """The name led to no address. `ours`: our resolver seems to be at fault, and not the name's own servers."""

    def __init__(self, message: str, *, ours: bool) -> None:
        super().__init__(message)
        self.ours = ours


class Lookups:
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
        """What `host` stands for now, in the order to try. Waits `timeout` seconds. Raises LookupFailed."""
        literal = literal_address(host)
        if literal is not None:
            return [literal]
        try:
            found = self._start(host).result(timeout)
        except TimeoutError:
            raise self._silence(host, "the name servers didn't answer in time") from None
        except UnicodeError:
            raise LookupFailed(f"{host} is no valid name", ours=False) from None
        except RuntimeError as error:  # the system gives us no more threads
            raise LookupFailed(str(error), ours=True) from None
        except socket.gaierror as error:
            if error.errno not in _NO_SUCH_NAME:
                raise self._silence(host, str(error.strerror)) from None
            self._answered(host)
            raise LookupFailed(f"{host} has no address", ours=False) from None
        except OSError as error:  # EAI_SYSTEM, as with no sockets left
            raise LookupFailed(f"{host}: {error}", ours=True) from None
        self._answered(host)
        return found

    def _start(self, host: str) -> Future[list[Address]]:
        with self._lock:
            future = self._running.get(host)
            if future is None:
                future = Future()
                threading.Thread(target=self._run, args=(host, future), name="lookup", daemon=True).start()
                self._running[host] = future
            return future

    def _run(self, host: str, future: Future[list[Address]]) -> None:
        try:
            outcome = _resolve(host)
        except Exception as error:  # any: it's theirs who wait, and without it they'd wait till their time is over
            self._forget(host)
            future.set_exception(error)
        else:
            self._forget(host)
            future.set_result(outcome)

    def _forget(self, host: str) -> None:
        """Before the answer is out, so that nobody is given an answer older than their question."""
        with self._lock:
            del self._running[host]

    def _answered(self, host: str) -> None:
        with self._lock:
            self._last_answer = time.monotonic()
            self._silent_since.pop(host, None)

    def _silence(self, host: str, what: str) -> LookupFailed:
        """Ours, unless another name was answered after this one fell silent.

        The resolver reports one error, EAI_AGAIN, for itself being cut off and for a name's servers being down.
        """
        with self._lock:
            since = self._silent_since.setdefault(host, time.monotonic())
            if len(self._silent_since) > MOST_SILENT:
                del self._silent_since[next(iter(self._silent_since))]
            return LookupFailed(f"{host}: {what}", ours=self._last_answer <= since)


def _resolve(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))
