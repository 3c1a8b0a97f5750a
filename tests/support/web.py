"""The web processes as a host runs them: gunicorn with script/gunicorn.conf.py, over real sockets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cerber.config import ROOT
from tests.integration.docs.test_readme import free_port, is_ready
from tests.support.workers import until


@dataclass(frozen=True)
class Web:
    """`master` is the process that started the workers."""

    port: int
    master: int

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return sorted(map(int, children))


@contextmanager
def web(env: dict[str, str], *options: str) -> Iterator[Web]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "script/gunicorn.conf.py", *options]
    process = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}", "wsgi:app"], cwd=ROOT, env=os.environ | env)
    try:
        until(lambda: is_ready(port) or process.poll() is not None, 60)
        assert process.poll() is None
        yield Web(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)
