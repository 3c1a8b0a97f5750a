"""Where a row is measured: a fresh, migrated database of each kind, and the processes started on it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pymysql
from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MYSQL = os.environ.get("CERBER_TEST_MYSQL_URL") or "mysql+pymysql://root@127.0.0.1:3306/"
SETTINGS = {
    "CERBER_SECRET_KEY": secrets.token_urlsafe(32),
    "CERBER_ALLOW_PRIVATE_CALLBACKS": "1",
    "CERBER_MODE": "live",
    "CERBER_PAYMENT_TTL": "3600",
    "CERBER_POLL_INTERVAL": "",
    "CERBER_DELIVERY_THREADS": "16",
    "CERBER_RETRY_SCHEDULE": "",
    "CERBER_BASE_URL": "",
    "CERBER_RATE_LIMIT": "0",
    "CERBER_OPEN_PAYMENTS": "0",
    "CERBER_NEW_ENDPOINTS": "0",
    "CERBER_BALANCE_CALLBACKS": "0",
}
PATIENCE = 60.0


@dataclass(frozen=True)
class Place:
    """One database and the environment of the processes on it."""

    kind: str
    env: dict[str, str]


@contextmanager
def place(kind: str) -> Iterator[Place]:
    """A migrated, empty database that is gone afterwards."""
    if kind == "sqlite":
        (ROOT / "instance").mkdir(exist_ok=True)
        folder = tempfile.mkdtemp(prefix="bench-", dir=ROOT / "instance")  # a real disk, as in production
        try:
            yield _migrated(kind, f"sqlite:///{folder}/bench.db")
        finally:
            shutil.rmtree(folder)
        return
    url, name = make_url(MYSQL), f"cerber_bench_{os.getpid()}_{secrets.token_hex(3)}"
    with _server().cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield _migrated(kind, url.set(database=name).render_as_string(hide_password=False))
    finally:
        with _server().cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")


KEPT = ("CERBER_DATABASE_URL", "CERBER_ENCRYPTION_KEYS")


def kept(kind: str, path: str, name: str, env: dict[str, str] | None) -> Place:
    """A database that stays: on SQLite at a path, on MariaDB of a name, made where there is no `env` of it yet."""
    if env is not None:
        return _migrated(kind, env["CERBER_DATABASE_URL"], env)
    if kind == "sqlite":
        return _migrated(kind, f"sqlite:///{path}")
    with _server().cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    return _migrated(kind, make_url(MYSQL).set(database=name).render_as_string(hide_password=False))


def kinds() -> list[str]:
    """The databases that answer here."""
    try:
        _server().close()
    except pymysql.err.OperationalError as error:
        print(f"bench: no MariaDB rows: {error}", file=sys.stderr)
        return ["sqlite"]
    return ["sqlite", "mariadb"]


def _server() -> pymysql.Connection:
    url = make_url(MYSQL)
    return pymysql.connect(host=url.host, port=url.port or 3306, user=url.username, password=url.password or "")


def _migrated(kind: str, url: str, given: Mapping[str, str] = MappingProxyType({})) -> Place:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CERBER_", "PYTHONANYWHERE_"))}
    keys = {"CERBER_DATABASE_URL": url, "CERBER_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    env = kept | SETTINGS | keys | {"FLASK_APP": "wsgi.py"} | dict(given)
    command = [BIN / "flask", "db", "upgrade"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: the database could not be migrated:\n{done.stderr}")
    return Place(kind, env)


@contextmanager
def running(at: Place, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the place's database, ended afterwards."""
    process = subprocess.Popen(command, cwd=ROOT, env=at.env, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def gunicorn(at: Place, app: str, workers: int = 2) -> Iterator[tuple[int, int]]:
    """The app under gunicorn's sync workers: its port and its master's process id."""
    port = free_port()
    options = ("--no-control-socket", "--log-level", "error", "--workers", str(workers), "--worker-class", "sync")
    with running(at, BIN / "gunicorn", *options, "--bind", f"127.0.0.1:{port}", app) as master:
        wait_for_port(port)
        yield port, master.pid


@contextmanager
def worker(at: Place) -> Iterator[int]:
    """`flask deliver`: its process id."""
    with running(at, BIN / "flask", "deliver") as process:
        yield process.pid


@contextmanager
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.99", 0), backlog=1024) as listening:
        yield f"http://127.0.0.99:{listening.getsockname()[1]}/hook"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"bench: nothing listens on port {port}")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def megabytes(pid: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


def cpu_seconds(pid: int) -> float:
    """User and system time so far, by the scheduler's nanoseconds: ticks of 10 ms are coarse for an idle process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
