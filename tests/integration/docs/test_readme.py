"""The README's walk, run from its own text against a real server and worker."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from flask import Flask

from cerber.config import ROOT
from tests.support.factories import make_merchant, make_wallet
from tests.support.workers import until, worker

pytestmark = pytest.mark.slow


def test_the_walk_ends_with_a_verified_webhook(app: Flask, env: dict[str, str], tmp_path: Path) -> None:
    keys = make_merchant(app, "demo")
    make_wallet(app)
    port, hook_port = free_port(), free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "wsgi:app"],
        cwd=ROOT,
        env=os.environ | env,
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: is_ready(port))
        with worker(env):
            walk = subprocess.run(
                ["bash", "-euc", the_walk()],
                env=os.environ
                | {"PORT": str(port), "HOOK_PORT": str(hook_port), "PAYMENT_SECRET": keys.payment_secret},
                capture_output=True,
                text=True,
                timeout=60,
                cwd=tmp_path,
            )
    finally:
        server.terminate()
        server.communicate(timeout=20)
    assert walk.returncode == 0, walk.stderr
    lines = walk.stdout.strip().splitlines()
    assert '"wallet_number"' in lines[0]
    assert any(line.endswith('"confirm_sum": "0"} verified') for line in lines), walk.stdout


def the_walk() -> str:
    readme = (ROOT / "README.md").read_text()
    match = re.search(r"<!-- walk:.*?```\n(.*?)```\n<!-- end of the walk -->", readme, re.DOTALL)
    assert match, "the README has no walk"
    return match[1]


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


def test_the_readme_has_each_setting_in_its_table() -> None:
    read = set(re.findall(r"\bCERBER_[A-Z_]+", (ROOT / "cerber/config.py").read_text()))
    told = re.findall(r"^\| `(CERBER_[A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(read) > 10
    assert sorted(told) == sorted(read)
