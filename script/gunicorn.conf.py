"""How gunicorn serves the gateway where nothing, or not everything, is buffered in front: `gunicorn -c
script/gunicorn.conf.py wsgi:app`. script/server does; docs/deployment.md says what belongs in front.

gunicorn bounds how long it waits for a request's first byte and between two requests of one connection, but not how
long a request takes to arrive: one that drips a byte a second holds its thread for as long as it likes. Hence many
threads, and a watch that ends the reading of a request after READ_SECONDS.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

READ_SECONDS = 10.0  # for the headers and the body of a request together
WRITE_SECONDS = 60.0  # until the answer is taken, counted from the same moment; a request is answered long before
LOOK_EVERY = 0.5
LARGEST_FORM = 64 * 1024  # no body that we take is larger, so no more is read ahead (1 MiB, and copies of it)


class WatchedThreads(ThreadWorker):
    """gunicorn's threads, none of which a slow visitor holds for long."""

    def run(self) -> None:
        self._busy: dict[TConn, float] = {}
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watch").start()
        try:
            super().run()
        finally:
            self._stopped.set()

    def handle(self, conn: TConn) -> object:
        self._busy[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._busy[conn]

    def _watch(self) -> None:
        """Until the process stops and nobody is served any more. Not as a daemon: one of those would keep the
        database's connections from being closed at the end, and a journal behind."""
        while self._busy or not self._stopped.is_set():
            time.sleep(LOOK_EVERY)
            at = time.monotonic()
            for conn, since in list(self._busy.items()):
                if at - since > WRITE_SECONDS:
                    _shut(conn, socket.SHUT_RDWR)
                elif at - since > READ_SECONDS:
                    _shut(conn, socket.SHUT_RD)  # one that was read whole is still answered


def _shut(conn: TConn, how: int) -> None:
    """Lets the thread that reads or writes go on, as if the visitor had gone."""
    with suppress(OSError):  # gone by itself
        conn.sock.shutdown(how)


SocketUnreader.max_body_chunk = LARGEST_FORM

worker_class = WatchedThreads
workers = 2
threads = 32
keepalive = 5
graceful_timeout = 10
limit_request_line = 8190  # a query is signed like a body, and may be long
loglevel = "warning"
control_socket_disable = True
