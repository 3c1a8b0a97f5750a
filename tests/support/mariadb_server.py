"""A MariaDB server of the test's own, which it may stop, kill and start again."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

from tests.support.databases import connect, missing

DATABASE = USER = "cerber"
_SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_SMALL = [
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=4M",
    "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=1M",
    "--skip-log-bin",
    "--skip-name-resolve",
]


class Server:
    """One data directory and one port of 127.0.0.1, behind which the server runs or not."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        # A server that starts clears its directory for temporary files, of another server's files too.
        self._tmp = directory / "tmp"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql+pymysql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}?ssl_disabled=true"

    def install(self) -> None:
        """Makes the data directory. Root comes in by the socket alone, which lies where nobody else may look."""
        self._tmp.mkdir()
        users = self._directory / "users.sql"
        users.write_text(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1';\n"
        )
        command = [_program("mariadb-install-db", "mysql_install_db"), "--no-defaults", f"--datadir={self._data}"]
        command += ["--auth-root-authentication-method=socket", "--skip-test-db", f"--tmpdir={self._tmp}"]
        command += [*_as_us(), *_SMALL]
        made = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self, seconds: float = 30) -> None:
        """Starts it, where it doesn't run, and returns as soon as it lets the user in."""
        if self.running:
            return
        options = {
            "datadir": self._data,
            "tmpdir": self._tmp,
            "socket": self._directory / "socket",
            "pid-file": self._directory / "pid",
            "log-error": self._log,
            "init-file": self._directory / "users.sql",
            "bind-address": "127.0.0.1",
            "port": self.port,
        }
        command = [_program("mariadbd", "mysqld"), "--no-defaults", *_as_us(), *_SMALL]
        command += [f"--{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends = time.monotonic() + seconds
        while True:
            try:
                self.connect().close()
            except pymysql.err.OperationalError:
                assert self.running, f"MariaDB ended by itself:\n{self._log.read_text()}"
                assert time.monotonic() < ends, f"MariaDB did not answer:\n{self._log.read_text()}"
                time.sleep(0.02)
            else:
                return

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def connect(self) -> pymysql.Connection:
        """A connection beside the product's own."""
        return connect(self.url, autocommit=False)

    def stop(self) -> None:
        """SIGTERM: it ends in good order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: gone in the middle of whatever it does, as with the power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)


@contextmanager
def private_server() -> Iterator[Server]:
    """A running server with an empty database; ended, and its data removed, at the end."""
    directory = Path(tempfile.mkdtemp(prefix="cerber-db-"))  # short: a socket's path has at most 107 characters
    server = Server(directory)
    try:
        server.install()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name, path=_SBIN)
        if found:
            return found
    missing("MariaDB server program", "apt-get install mariadb-server")
    raise AssertionError("unreachable")


def _as_us() -> list[str]:
    """Root has to say that it means to run a server as root."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
