"""Databases with a history in them, made by script/seed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
from sqlalchemy.engine import make_url

from cerber.config import ROOT
from tests.conftest import ENV, MYSQL, _migrate, missing
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
    url, name = make_url(MYSQL), f"cerber_seeded_{os.getpid()}_{secrets.token_hex(3)}"
    at = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password or ""}
    try:
        connection = pymysql.connect(**at)
    except pymysql.err.OperationalError:
        missing("MySQL or MariaDB server", "apt-get install mariadb-server, or set CERBER_TEST_MYSQL_URL")
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            own = url.set(database=name).render_as_string(hide_password=False)
            _migrate(own)
            yield own
        finally:
            cursor.execute(f"DROP DATABASE {name}")
