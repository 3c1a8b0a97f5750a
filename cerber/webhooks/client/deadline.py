"""The end of an attempt's time: a thread that shuts its socket down.

A socket's own timeout bounds each wait, so that a byte a second would hold a thread for hours.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import suppress


class Watch:
    """A socket with a deadline. `is_over` once the deadline has come and the socket was shut down."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        # A descriptor of its own: it stays this connection's while the first is wrapped, closed and given out again.
        self.sock = socket.fromfd(sock.fileno(), sock.family, socket.SOCK_STREAM)
        self.deadline = deadline
        self.is_over = False

    def shut_down(self) -> None:
        """Ends the connection, whoever waits for it and whatever else holds it open."""
        with suppress(OSError):  # the other side was quicker
            self.sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Shuts sockets down at their deadlines, by `time.monotonic`. One serves all threads.

    Its own thread starts with the first socket, and sleeps until the next deadline or for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._wakes_at = math.inf
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket, deadline: float) -> Watch:
        """Raises OSError or RuntimeError where the system gives no more descriptors or threads."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():  # not alive: after a fork
                thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                thread.start()
                self._thread = thread
            watch = Watch(sock, deadline)
            self._watches.add(watch)
            if deadline < self._wakes_at:
                self._wakes_at = deadline
                self._changed.notify()
        return watch

    def release(self, watch: Watch) -> None:
        """From here on nothing is shut down: the connection may be given to another call."""
        with self._changed:
            self._watches.discard(watch)
            if self._is_closed:
                self._changed.notify()
        watch.sock.close()

    def close(self) -> None:
        """The thread ends, once the sockets still watched are released."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._watches or not self._is_closed:
                now = time.monotonic()
                for watch in [watch for watch in self._watches if watch.deadline <= now]:
                    self._watches.remove(watch)
                    watch.is_over = True
                    watch.shut_down()
                self._wakes_at = min((watch.deadline for watch in self._watches), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
            self._thread = None
