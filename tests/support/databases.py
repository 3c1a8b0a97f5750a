"""Databases beside the one of a test: empty, without tables."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
from sqlalchemy.engine import make_url

SERVER = os.environ.get("CERBER_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")


@contextmanager
def empty_database(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a new one of this kind, sqlite or mariadb; it goes again at the end."""
    name = f"cerber_test_{os.getpid()}_{secrets.token_hex(4)}"
    if kind == "sqlite":
        yield f"sqlite:///{directory}/{name}.db"
        return
    url = make_url(SERVER)
    at = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password or ""}
    with pymysql.connect(**at) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            cursor.execute(f"DROP DATABASE {name}")
