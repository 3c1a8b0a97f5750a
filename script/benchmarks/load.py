"""A load client, for this machine alone: a few processes, each with one raw connection and requests made before."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

CLIENTS = 4
MOST = 100_000
_fork = multiprocessing.get_context("fork")


class Refused(RuntimeError):
    """An answer was not 200: what is measured would be something else."""


def request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def rate(port: int, requests: Sequence[bytes], clients: int = CLIENTS) -> float:
    """Requests a second, all of them answered with 200. Each client sends a stretch of them, one after the other."""
    if len(requests) > MOST:
        raise ValueError("too many requests at once")
    size = -(-len(requests) // clients)
    parts = [requests[start : start + size] for start in range(0, len(requests), size)]
    barrier, results = _fork.Barrier(len(parts) + 1), _fork.SimpleQueue()
    processes = [_fork.Process(target=_client, args=(port, part, barrier, results), daemon=True) for part in parts]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    bad = [answer for answer in (results.get() for _ in processes) if answer]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    if bad:
        raise Refused(bad[0][:400].decode("utf-8", "replace"))
    return len(requests) / seconds


def send(port: int, message: bytes) -> None:
    """One request, answered with 200."""
    with _connected(port) as sock:
        sock.sendall(message)
        head, _ = _answer(sock)
    if not head.startswith(b"HTTP/1.1 200"):
        raise Refused(head[:400].decode("utf-8", "replace"))


def _client(port: int, requests: Sequence[bytes], barrier: Barrier, results: SimpleQueue[bytes]) -> None:
    bad, sock = b"", None
    barrier.wait()
    try:
        for message in requests:
            sock = sock or _connected(port)
            sock.sendall(message)
            head, open_still = _answer(sock)
            if not head.startswith(b"HTTP/1.1 200"):
                bad = head
                break
            if not open_still:  # gunicorn's sync workers keep no connection
                sock.close()
                sock = None
    except OSError as error:
        bad = repr(error).encode()
    results.put(bad)


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _answer(sock: socket.socket) -> tuple[bytes, bool]:
    """An answer, and whether the connection stays open."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if not (piece := sock.recv(65536)):
            raise ConnectionError("no answer")
        data += piece
    head = bytes(data[:end]).lower()
    at = head.index(b"content-length:")
    whole = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
    while len(data) < whole:
        if not (piece := sock.recv(65536)):
            raise ConnectionError("half an answer")
        data += piece
    return bytes(data), b"connection: close" not in head
