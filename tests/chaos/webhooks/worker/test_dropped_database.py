"""Workers whose database is dropped under them, and whose log nobody reads: they can still be stopped, all twenty."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from cerber.app import create_app
from cerber.config import ROOT
from cerber.db.transactions import reading
from cerber.webhooks.models import Worker
from tests.support.databases import ENV, connect, dispose, empty_database, migrate
from tests.support.workers import until

WORKERS = 20
PATIENCE = 3  # seconds, in place of 19, that a worker waits for its database as it stops
ENDS_WITHIN = PATIENCE + 10  # on a busy machine
# Forks workers whose log goes into a pipe that is full already, and tells how they ended.
FORKS = f"""
import fcntl, json, os, sys
from cerber.app import create_app
from cerber.payments.expiry import expire_due
from cerber.webhooks.worker import loop
loop.STOPS_WITHIN = {PATIENCE}
app, workers = create_app(), []
for _ in range({WORKERS}):
    reader, log = os.pipe()
    os.set_blocking(log, False)
    try:
        while os.write(log, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(log, True)
    worker = os.fork()
    if not worker:
        os.dup2(log, 2)
        loop.run(app, expire_due)
        os._exit(0)
    workers.append(worker)
print(json.dumps(workers), flush=True)
if not sys.stdin.readline():  # the test has ended early
    for worker in workers:
        os.kill(worker, 9)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]), flush=True)
"""


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of its own, which a test may drop."""
    with empty_database(request.param, tmp_path) as own:
        migrate(own)
        yield own
        if request.param == "mariadb":
            on_server(own, "CREATE DATABASE IF NOT EXISTS {}")  # else it can't go again


def on_server(url: str, statement: str) -> None:
    own = make_url(url)
    with closing(connect(own.set(database="mysql"))) as connection, connection.cursor() as cursor:
        cursor.execute(statement.format(own.database))


def drop(url: str) -> None:
    if url.startswith("mysql"):
        on_server(url, "DROP DATABASE {}")
        return
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f"DROP TABLE {table}")
        connection.commit()


def alive(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return session.scalars(select(func.count()).select_from(Worker)).one()


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
def test_twenty_workers_without_a_database_end_though_nobody_reads_what_they_log(url: str, signalled: int) -> None:
    env = ENV | {"CERBER_DATABASE_URL": url}
    app = create_app(env)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", FORKS], cwd=ROOT, env=os.environ | env, **pipes) as forks:  # type: ignore[call-overload]
        workers = json.loads(forks.stdout.readline())
        try:
            until(lambda: alive(app) == WORKERS, 60)
            dispose(app)
            drop(url)
            chance = random.Random()
            for worker in workers:
                threading.Event().wait(chance.random() / 10)
                os.kill(worker, signalled)
            told = time.monotonic()
            forks.stdin.write("\n")
            forks.stdin.flush()
            ended = json.loads(forks.stdout.readline())
            assert ended == [0] * WORKERS
            assert time.monotonic() - told < ENDS_WITHIN
        finally:
            forks.communicate(timeout=60)
