"""Databases for tests: a migrated file of SQLite, and databases of their own on a MariaDB or MySQL that runs here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.engine import URL, make_url

from cerber.app import create_app
from cerber.db.engines import db
from cerber.db.tables import Base

MYSQL = os.environ.get("CERBER_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")
ENV = {
    "CERBER_SECRET_KEY": "a key for tests that is long enough",
    "CERBER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "CERBER_ALLOW_PRIVATE_CALLBACKS": "1",
    "CERBER_POLL_INTERVAL": "0.05",
    "CERBER_RETRY_SCHEDULE": "0,0.1,0.1",
    "CERBER_RATE_LIMIT": "0",  # the tests of one minute are many requests from one address
    "CERBER_NEW_ENDPOINTS": "0",  # a shop of the tests is an endpoint on this machine, and balances are events
    "CERBER_BALANCE_CALLBACKS": "0",  # about no payment
}


def missing(what: str, command: str) -> None:
    """Skips where this machine can't run a test; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing in CI: {command}")
    pytest.skip(f"no {what}: {command}")


def without_tls(url: URL | str) -> URL:
    """PyMySQL reads all authorities of the machine for each connection, which costs more than a short test does."""
    return make_url(url).update_query_dict({"ssl_disabled": "true"})


@contextmanager
def empty_database(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a new one of this kind, sqlite or mariadb, without tables; it goes again at the end."""
    name = f"cerber_test_{os.getpid()}_{secrets.token_hex(4)}"
    if kind == "sqlite":
        yield f"sqlite:///{directory}/{name}.db"
        return
    url = without_tls(MYSQL)
    try:
        server = connect(url)
    except pymysql.err.OperationalError:
        missing("MySQL or MariaDB server", "apt-get install mariadb-server, or set CERBER_TEST_MYSQL_URL")
    with closing(server), server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            cursor.execute(f"DROP DATABASE {name}")


def connect(url: URL | str, *, autocommit: bool = True) -> pymysql.Connection:
    """A connection beside the product's own."""
    at = make_url(url)
    return pymysql.connect(
        host=at.host,
        port=at.port or 3306,
        user=at.username,
        password=at.password or "",
        database=at.database,
        ssl_disabled=True,
        connect_timeout=5,
        autocommit=autocommit,
    )


def migrate(url: str) -> None:
    app = create_app(ENV | {"CERBER_DATABASE_URL": url})
    with app.app_context():
        upgrade()
    dispose(app)


def empty(url: str) -> None:
    """Deletes all rows of a MySQL database: of a whole test's, in one commit."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET FOREIGN_KEY_CHECKS=0")
        cursor.execute("BEGIN")
        for table in Base.metadata.sorted_tables:
            cursor.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a name of our own
        cursor.execute("COMMIT")


def dispose(app: Flask) -> None:
    """Closes its connections."""
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
