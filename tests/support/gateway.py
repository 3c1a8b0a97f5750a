"""The gateway as merchants meet it: a web server on a real socket, and a delivery worker beside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from flask import Flask
from sqlalchemy import update

from cerber.config import ROOT
from cerber.webhooks.models import Webhook
from tests.support.clock import now
from tests.support.workers import change, until, worker


@contextmanager
def running_gateway(env: dict[str, str]) -> Iterator[str]:
    """Its address, `http://127.0.0.1:PORT`."""
    with running_web(env) as address, worker(env):
        yield address


@contextmanager
def running_web(env: dict[str, str]) -> Iterator[str]:
    """The web server alone, as it stands behind a real one."""
    port = free_port()
    command = ["-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "--threads", "2", "wsgi:app"]
    server = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=os.environ | env, stderr=subprocess.PIPE)
    try:
        until(lambda: is_ready(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=20)


def let_a_minute_pass(app: Flask) -> None:
    """Since all events so far: what a rolled-back transaction left out holds none of them back then."""
    change(app, update(Webhook).values(created_at=now() - timedelta(seconds=61)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
