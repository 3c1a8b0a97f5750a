"""script/setup and script/server, run for real in a copy of the checkout that shares this environment."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cerber import signing
from cerber.config import ROOT
from tests.integration.docs.test_readme import free_port, is_ready
from tests.support.workers import until

# What a first start needs on a busy machine of two cores: some eight commands, a second and more each.
PATIENCE = 90
ENVIRONMENT = Path(sys.prefix)
BARE = {
    name: value for name, value in os.environ.items() if not re.match("CERBER_|FLASK_|GUNICORN_|HOST$|PORT$", name)
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (ENVIRONMENT / ".installed-requirements-dev.txt").exists(),
        reason="this environment is not script/setup's: script/setup --dev",
    ),
]


@dataclass
class Server:
    """script/server in `checkout`, on a port of its own."""

    checkout: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.log = self.checkout / f"server-{self.port}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["script/server"],
                cwd=self.checkout,
                env=BARE | {"PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_until_it_runs(self) -> None:
        until(lambda: "Cerber runs at" in self.said() or self.process.poll() is not None, PATIENCE)
        assert self.process.poll() is None, self.said()
        assert is_ready(self.port)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    """Starts servers, and ends those that a test has left running."""
    servers: list[Server] = []

    def start(checkout: Path) -> Server:
        servers.append(Server(checkout))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGTERM)


def fresh_checkout(directory: Path) -> Path:
    """A copy of the checkout as it is after a clone and script/setup."""
    left_out = shutil.ignore_patterns(".*", "instance", "__pycache__", "tests", "docs")
    copy = Path(shutil.copytree(ROOT, directory / "cerber", ignore=left_out))
    (copy / ".venv").symlink_to(ENVIRONMENT)
    return copy


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return fresh_checkout(tmp_path)


@pytest.fixture(scope="module")
def started_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which script/server has run and was stopped. Tests take copies of it."""
    copy = fresh_checkout(tmp_path_factory.mktemp("once"))
    server = Server(copy)
    try:
        server.wait_until_it_runs()
    finally:
        server.stop()
    return copy


@pytest.fixture
def lived_in(started_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(started_once, tmp_path / "cerber", symlinks=True))


def holdings(checkout: Path) -> list[str]:
    """All that the database holds, but for the workers' heartbeats."""
    with sqlite3.connect(checkout / "instance" / "cerber.db") as connection:
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "workers"')]


def rows(checkout: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(checkout / "instance" / "cerber.db") as connection:
        return connection.execute(query).fetchall()


def children(server: Server) -> dict[str, int]:
    """The processes that a server started: web and worker, by their command's name."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_text()
        except OSError:
            continue  # it ended meanwhile
        if parent == server.process.pid:
            found["deliver" if "deliver" in command else "gunicorn"] = int(stat.parent.name)
    return found


def answer(checkout: Path, script: str, **env: str) -> tuple[int, str]:
    """Status and words of a script that is expected to end by itself."""
    done = subprocess.run(
        [f"script/{script}"], cwd=checkout, env=BARE | env, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_start_makes_what_one_needs_and_a_signal_stops_both(
    serve: Callable[[Path], Server], checkout: Path, number: signal.Signals
) -> None:
    server = serve(checkout)
    server.wait_until_it_runs()
    both = children(server)
    assert server.stop(number) == 0
    assert set(both) == {"gunicorn", "deliver"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in both.values())
    assert not is_ready(server.port)

    said = server.said()
    secrets = re.findall(r"^  export (\w+)_SECRET=(\S+)$", said, re.MULTILINE)
    assert [name for name, _ in secrets] == ["PAYMENT", "BALANCE"]
    assert all(signing.check_secret(secret) for _, secret in secrets)
    assert re.search(r"export OPERATOR=operator OPERATOR_PASSWORD=\S{20}$", said, re.MULTILINE)
    assert "CERBER_ALLOW_PRIVATE_CALLBACKS=1" in said
    assert rows(checkout, "SELECT merch_id FROM merchants") == [("demo",)]
    assert rows(checkout, "SELECT count(*) FROM wallets") == [(3,)]
    assert rows(checkout, "SELECT username, role FROM operators") == [("operator", "admin")]


def test_only_the_owner_reads_what_holds_secrets(started_once: Path) -> None:
    for path in (started_once / ".env", started_once / "instance" / "cerber.db"):
        assert path.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in (started_once / "instance").iterdir()) == [".server-lock", "cerber.db"]


def test_started_again_it_changes_nothing_that_exists(serve: Callable[[Path], Server], lived_in: Path) -> None:
    settings, held = (lived_in / ".env").read_bytes(), holdings(lived_in)
    server = serve(lived_in)
    server.wait_until_it_runs()
    assert server.stop() == 0
    assert (lived_in / ".env").read_bytes() == settings
    assert holdings(lived_in) == held
    assert "export" not in server.said()


def test_two_starts_at_once_take_turns(serve: Callable[[Path], Server], checkout: Path) -> None:
    both = [serve(checkout), serve(checkout)]
    for server in both:
        server.wait_until_it_runs()
    assert [server.stop() for server in both] == [0, 0]
    assert "".join(server.said() for server in both).count("export PAYMENT_SECRET=") == 1
    assert rows(checkout, "SELECT count(*) FROM wallets") == [(3,)]


@pytest.mark.parametrize(("victim", "named"), [("gunicorn", "the web process"), ("deliver", "the delivery worker")])
def test_where_one_process_dies_the_other_is_stopped(
    serve: Callable[[Path], Server], lived_in: Path, victim: str, named: str
) -> None:
    server = serve(lived_in)
    server.wait_until_it_runs()
    both = children(server)
    os.kill(both[victim], signal.SIGKILL)
    assert server.process.wait(60) == 1
    assert f"{named} (status -9) ended by itself" in server.said()
    assert not any(Path(f"/proc/{pid}").exists() for pid in both.values())


def test_a_taken_port_is_told_before_anything_is_made(serve: Callable[[Path], Server], checkout: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = answer(checkout, "server", PORT=str(port))
    assert status == 1
    assert f"port {port} on 127.0.0.1 is taken" in said
    assert not (checkout / ".env").exists()
    assert not (checkout / "instance" / "cerber.db").exists()


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(checkout: Path, port: str) -> None:
    assert answer(checkout, "server", PORT=port) == (
        1,
        f"server: PORT must be a number from 1 to 65535, not '{port}'.\n",
    )


def test_a_database_without_its_keys_gets_no_fresh_ones(lived_in: Path) -> None:
    (lived_in / ".env").unlink()
    status, said = answer(lived_in, "server", PORT=str(free_port()))
    assert status == 1
    assert "Put .env back" in said
    assert not (lived_in / ".env").exists()


def test_a_bad_setting_stops_the_start_by_its_name(lived_in: Path) -> None:
    status, said = answer(lived_in, "server", PORT=str(free_port()), CERBER_TIMEZONE="Mars")
    assert status == 1
    assert said.startswith("CERBER_TIMEZONE ")
    assert "Traceback" not in said


def test_setup_says_nothing_where_nothing_is_to_do(checkout: Path) -> None:
    assert answer(checkout, "setup") == (0, "")


def test_setup_says_which_python_is_wanted(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".venv").unlink()
    status, said = answer(checkout, "setup", PYTHON=str(tmp_path / "none"))
    assert status == 1
    assert "no Python 3.11 or newer" in said


def test_setup_says_what_brings_the_missing_part_of_python(checkout: Path, tmp_path: Path) -> None:
    """Debian's python3 without python3-venv has no ensurepip. This one has no pip either."""
    (checkout / ".venv").unlink()
    (tmp_path / "bin").mkdir()
    bare = tmp_path / "bin" / "python"
    bare.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*|"-m pip "*) exit 1;; esac\nexec "{sys.executable}" "$@"\n')
    bare.chmod(0o755)
    for tool in ("bash", "sh", "dirname", "mkdir", "find", "rm", "cat", "cmp"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    status, said = answer(checkout, "setup", PYTHON=str(bare), PATH=str(tmp_path / "bin"))
    assert status == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in said
