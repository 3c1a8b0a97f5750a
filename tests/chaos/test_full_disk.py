"""A SQLite database on a disk that is full: what callers are told, and what a worker keeps until there is room.

Once on a small file system of its own, where this machine lets us mount one, and always with a limit on the size of
files, which needs no rights: each write that makes a file longer fails then too.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from flask import Flask
from sqlalchemy import text

from cerber.app import create_app
from cerber.db.engines import db
from tests.chaos.test_outages import assert_unavailable, calls, state
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, make_merchant, make_wallet, open_payment
from tests.support.shop import Shop, open_shop
from tests.support.workers import (
    attempts,
    breaker,
    changed_worker,
    decide,
    end_leases,
    states,
    stop,
    until,
    webhooks,
    worker,
)

ROOM = "2m"  # of the small file system
PAGE = 4096  # bytes: neither a record of the write-ahead log nor a page of the database fits in
AWAY = "The database does not answer"
PATIENCE = 3  # seconds that the worker that is stopped waits for the database, in place of 19
ENDS_WITHIN = 40  # seconds; by itself it waits 19 for the database


class SmallDisk:
    """A file system with little room. Full, it is full for everybody."""

    def __init__(self, directory: Path) -> None:
        self._filler = directory / "filler"

    def fill(self, *processes: int) -> None:
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(PAGE))

    def free(self, *processes: int) -> None:
        self._filler.unlink()


class LimitedFiles:
    """No file of these processes may become longer. Python ignores the signal for it, so that the write fails."""

    def __init__(self, directory: Path) -> None:
        pass

    def fill(self, *processes: int) -> None:
        for process in processes:
            _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (PAGE, most))

    def free(self, *processes: int) -> None:
        for process in processes:
            _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (most, most))


Disk = SmallDisk | LimitedFiles


@contextmanager
def small_file_system(directory: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(directory)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def may_mount() -> bool:
    try:
        with TemporaryDirectory() as directory, small_file_system(Path(directory)):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.fixture(params=[LimitedFiles, *([SmallDisk] if may_mount() else [])])
def disk(request: pytest.FixtureRequest, path: Path) -> Iterator[Disk]:
    """With room, and a database without a write-ahead log on it."""
    with ExitStack() as mounted:
        if request.param is SmallDisk:
            mounted.enter_context(small_file_system(path.parent))
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield request.param(path.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "disk"
    directory.mkdir()
    return directory / "test.db"


@pytest.fixture
def database_url(disk: Disk, path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def shop() -> Iterator[tuple[Shop, str]]:
    """It holds its answers back."""
    with open_shop() as (counter, url):
        counter.gate.clear()
        yield counter, url


@pytest.fixture
def keys(app: Flask, shop: tuple[Shop, str]) -> MerchantKeys:
    """Of a merchant with an open payment, and two that were decided: each of those has two events to send."""
    _, url = shop
    keys = make_merchant(app)
    make_wallet(app)
    open_payment(app, keys)
    for payment_id in ("1", "2"):
        decide(app, open_payment(app, keys, payment_id=payment_id, callback_url=url), 200_00, 300_00)
    return keys


@contextmanager
def full(disk: Disk, path: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """For this process and that one. Whatever has to be written then needs room."""
    with closing(sqlite3.connect(path)) as connection:
        until(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0))
    disk.fill(os.getpid(), process.pid)
    try:
        yield
    finally:
        disk.free(*[os.getpid(), process.pid][: 1 if process.poll() is not None else 2])


def wait_for_word(process: subprocess.Popen[str], word: str) -> None:
    """Until a line of its output has it."""
    assert process.stdout is not None
    assert any(word in line for line in process.stdout), "it ended without a word"


def in_order(counter: Shop) -> dict[str, list[str]]:
    """The sums of each payment's events, as they arrived."""
    sums: dict[str, list[str]] = {}
    for body in (json.loads(arrival.body) for arrival in counter.arrivals):
        sums.setdefault(str(body["payment_id"]), []).append(body["confirm_sum"])
    return sums


def test_a_full_disk_refuses_what_writes_and_a_worker_records_as_soon_as_there_is_room(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], disk: Disk, path: Path
) -> None:
    counter, _ = shop
    asked = calls(app.test_client(), keys)
    with worker(env) as process:
        counter.wait_for(1)  # a new endpoint is sent one at a time
        before = state(app)
        with full(disk, path, process):
            for name in ("get_wallet", "update_status"):
                assert_unavailable(asked[name]())
            for name in ("get_status", "get_balance"):
                assert asked[name]().status_code == 200
            counter.gate.set()
            wait_for_word(process, AWAY)
            assert process.poll() is None
            assert state(app) == before
            assert (states(app), attempts(app), breaker(app)) == (["due"] * 4, [], None)
        until(lambda: states(app) == ["delivered"] * 4)
        stop(process)
    assert in_order(counter) == {"1": ["200", "500"], "2": ["200", "500"]}  # each of them once
    assert [str(attempt.outcome) for attempt in attempts(app)] == ["200"] * 4
    assert [webhook.attempts for webhook in webhooks(app)] == [1] * 4
    assert breaker(app) is None
    for name, ask in asked.items():
        assert (name, ask().status_code) == (name, 200)
    assert_whole(path)


def test_what_a_worker_that_is_stopped_could_not_record_comes_again(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], disk: Disk, path: Path
) -> None:
    counter, _ = shop
    with changed_worker(env, f"loop.STOPS_WITHIN = {PATIENCE}") as process:
        counter.wait_for(1)  # a new endpoint is sent one at a time
        with full(disk, path, process):
            counter.gate.set()
            wait_for_word(process, AWAY)
            process.send_signal(signal.SIGTERM)
            assert process.wait(ENDS_WITHIN) == 0
    assert states(app) == ["due"] * 4
    end_leases(app)
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert in_order(counter) == {"1": ["200", "200", "500"], "2": ["200", "500"]}
    assert len({arrival.headers["webhook-id"] for arrival in counter.arrivals}) == 4
    assert states(app) == ["delivered"] * 4
    assert [webhook.attempts for webhook in webhooks(app)] == [1] * 4
    assert breaker(app) is None
    assert_whole(path)


def assert_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("host", "journal"), [({}, "wal"), ({"PYTHONANYWHERE_DOMAIN": "pythonanywhere.com"}, "delete")]
)
def test_what_was_committed_is_on_the_disk_before_anybody_hears_of_it(
    tmp_path: Path, host: dict[str, str], journal: str
) -> None:
    """No test can cut the power; this is what SQLite asks for, so that it costs nothing."""
    app = create_app(ENV | host | {"CERBER_DATABASE_URL": f"sqlite:///{tmp_path / 'test.db'}"})
    with app.app_context():
        assert len(db.engines) == 2
        for engine in db.engines.values():
            with engine.connect() as connection:
                assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
                assert connection.scalar(text("PRAGMA journal_mode")) == journal
    dispose(app)
