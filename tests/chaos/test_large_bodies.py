"""Bodies of hundreds of MiB, from strangers: what they cost the process that meets them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask

from tests.support.web import Web, web

pytestmark = pytest.mark.timeout(180)
MIB = 1024 * 1024
PIECE = b"a" * (256 * 1024)
PATHS = ["/login", "/bot_api/get_wallet/", "/payments/1/accept", "/health/live"]
MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


@pytest.fixture
def running(env: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """One worker, whose temporary files lie where a test can see them."""
    (tmp_path / "spool").mkdir()
    with web(env | {"TMPDIR": str(tmp_path / "spool")}, "--workers", "1") as found:
        yield found


def post(port: int, path: str, headers: dict[str, str], body: bytes, size: int) -> bytes:
    """Sends as much of so many bytes as is taken, `body` first, and gives the answer's first line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sent:
        sent.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + body)
        with suppress(OSError):  # it is not listened to any more
            for _ in range(size // len(PIECE)):
                sent.sendall(PIECE)
        with suppress(OSError):
            return sent.recv(65536).split(b"\r\n")[0]
    return b""


def peak(pid: int) -> int:
    """The most memory that a process ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def written(pid: int) -> int:
    """How many bytes a process has written to files."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("wchar")))


@pytest.mark.parametrize(
    ("headers", "body", "size"),
    [
        ({"Content-Length": f"{400 * MIB}", "Content-Type": "application/x-www-form-urlencoded"}, b"x=", 400 * MIB),
        ({"Content-Length": f"{300 * MIB}", "Content-Type": MULTIPART}, PART, 300 * MIB),
        ({"Transfer-Encoding": "chunked", "Content-Type": MULTIPART}, b"12c00000\r\n" + PART, 300 * MIB),
    ],
    ids=["form", "multipart", "chunked"],
)
def test_a_body_of_hundreds_of_mib_costs_no_memory_and_no_disk(
    app: Flask, running: Web, tmp_path: Path, headers: dict[str, str], body: bytes, size: int
) -> None:
    (worker,) = running.workers
    small = {"Content-Length": "2", "Content-Type": "application/x-www-form-urlencoded"}
    for path in PATHS * 10:  # what is loaded once, for an answer and for a refusal
        post(running.port, path, small, b"x=", 0)
        post(running.port, path, {**small, "Content-Length": "70000"}, b"x" * 70_000, 0)
    before, wrote = peak(worker), written(worker)
    for path in PATHS:
        answer = post(running.port, path, headers, body, size)
        assert answer.split(b" ")[1] in (b"411", b"413", b"415"), path
    assert peak(worker) - before <= 2 * MIB
    assert written(worker) - wrote <= 64 * 1024  # its log; the answers go to a socket
    assert running.workers == [worker]
    assert [entry for entry in (tmp_path / "spool").iterdir() if entry.stat().st_size > MIB] == []
