"""The README's walk, run from its own text against a real server and worker."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from flask import Flask

from cerber.config import ROOT
from tests.support.factories import make_merchant, make_wallet
from tests.support.gateway import free_port, running_gateway
from tests.support.gateway import is_ready as is_ready  # others look for it here

pytestmark = pytest.mark.slow


def test_the_walk_ends_with_a_verified_webhook(app: Flask, env: dict[str, str], tmp_path: Path) -> None:
    keys = make_merchant(app, "demo")
    make_wallet(app)
    with running_gateway(env) as address:
        walk = subprocess.run(
            ["bash", "-euc", the_walk()],
            env=os.environ
            | {
                "PORT": address.rpartition(":")[2],
                "HOOK_PORT": str(free_port()),
                "PAYMENT_SECRET": keys.payment_secret,
            },
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
    assert walk.returncode == 0, walk.stderr
    lines = walk.stdout.strip().splitlines()
    assert '"wallet_number"' in lines[0]
    assert any(line.endswith('"confirm_sum": "0"} verified') for line in lines), walk.stdout


def the_walk() -> str:
    readme = (ROOT / "README.md").read_text()
    match = re.search(r"<!-- walk:.*?```\n(.*?)```\n<!-- end of the walk -->", readme, re.DOTALL)
    assert match, "the README has no walk"
    return match[1]


def test_the_readme_has_each_setting_in_its_table() -> None:
    read = set(re.findall(r"\bCERBER_[A-Z_]+", (ROOT / "cerber/config.py").read_text()))
    told = re.findall(r"^\| `(CERBER_[A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(read) > 10
    assert sorted(told) == sorted(read)
