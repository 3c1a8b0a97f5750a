"""Databases with a history in them, made by script/seed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cerber.config import ROOT
from tests.support.databases import ENV, empty_database, migrate
from tests.support.factories import MerchantKeys


@dataclass(frozen=True)
class Seeded:
    """A database with a history, and the merchants in it."""

    url: str
    merchants: list[MerchantKeys]

    @property
    def env(self) -> dict[str, str]:
        return ENV | {"CERBER_DATABASE_URL": self.url}


def seed(url: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """script/seed on a migrated database."""
    env = os.environ | ENV | {"CERBER_DATABASE_URL": url, "PYTHONPATH": f"{ROOT / 'script'}:{ROOT}"}
    command = [sys.executable, "-m", "seeding", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=110)


def told(finished: subprocess.CompletedProcess[str]) -> list[MerchantKeys]:
    """The merchants whose secrets it printed."""
    assert finished.returncode == 0, finished.stderr
    return [MerchantKeys(**json.loads(line)) for line in finished.stdout.splitlines()]


@contextmanager
def seeded(kind: str, template: Path, directory: Path, *arguments: str) -> Iterator[Seeded]:
    """On a database of its own, which is gone afterwards."""
    with empty(kind, template, directory) as url:
        yield Seeded(url, told(seed(url, *arguments)))


@contextmanager
def empty(kind: str, template: Path, directory: Path) -> Iterator[str]:
    """A migrated database of its own: a copy of the template where it is SQLite."""
    if kind == "sqlite":
        path = directory / "seeded.db"
        shutil.copy(template, path)
        yield f"sqlite:///{path}"
        return
    with empty_database(kind, directory) as url:
        migrate(url)
        yield url
