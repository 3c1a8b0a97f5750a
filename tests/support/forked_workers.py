"""Delivery workers that start in a moment: one process imports the product once, and forks them.

`python -m tests.support.forked_workers` reads commands, a line each. To `start` it answers with a new worker's
process id, to `ended` with the ids and exit statuses, as JSON, of those that ended since it was last asked. A test
kills a worker by its id, which nobody else gets before `ended` told of it. When the input ends they are killed.

A worker names its process in its User-Agent, so that a receiver knows whose attempt it sees.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from cerber.app import create_app
from cerber.config import ROOT
from cerber.payments.expiry import expire_due
from cerber.webhooks.client import client
from cerber.webhooks.worker import loop


class ForkedWorkers:
    """The process that forks, as the test sees it. Any thread may call it at any time."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self._lock = threading.Lock()

    def start(self) -> int:
        """The new worker's process id."""
        return int(self._ask("start"))

    def ended(self) -> dict[int, int]:
        """The exit status of each that ended since it was last asked; a signal's is negative."""
        return dict(json.loads(self._ask("ended")))

    @property
    def log(self) -> str:
        """What all of them wrote on standard error."""
        return self._log.read_text()

    def _ask(self, command: str) -> str:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, self.log
        return answer


@contextmanager
def forked_workers(env: dict[str, str], log: Path) -> Iterator[ForkedWorkers]:
    """No worker is left at the end."""
    command = [sys.executable, "-m", "tests.support.forked_workers"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        log.open("w") as errors,
        subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stderr=errors, **pipes) as process,
    ):
        try:
            yield ForkedWorkers(process, log)
        finally:
            process.communicate(timeout=30)


def main() -> None:
    app = create_app()  # has no connection and no thread yet
    alive: set[int] = set()
    for line in sys.stdin:
        if line == "start\n":
            child = os.fork()
            if not child:
                _work(app)
            alive.add(child)
            print(child, flush=True)  # noqa: T201
        else:
            ended = _ended(alive)
            alive -= set(ended)
            print(json.dumps(list(ended.items())), flush=True)  # noqa: T201
    for child in alive:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(app: Flask) -> None:
    """The life of a worker."""
    status = 1
    try:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the answers to commands are not its own
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        client._HEADERS["User-Agent"] = f"{client.USER_AGENT} {os.getpid()}"
        loop.run(app, expire_due)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(alive: set[int]) -> dict[int, int]:
    """Those of them that have ended, and how."""
    found = (os.waitpid(child, os.WNOHANG) for child in alive)
    return {child: os.waitstatus_to_exitcode(status) for child, status in found if child}


if __name__ == "__main__":
    main()
