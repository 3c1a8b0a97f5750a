"""An app on a fresh database, on each engine: SQLite always, MariaDB over a real connection where one runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy.engine import make_url

from cerber.app import create_app
from cerber.db.engines import db
from cerber.db.tables import Base
from tests.support.clock import Clock
from tests.support.factories import MerchantKeys, make_merchant, make_wallet
from tests.support.shop import Shop, open_shop

MYSQL = os.environ.get("CERBER_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")
ENV = {
    "CERBER_SECRET_KEY": "a key for tests that is long enough",
    "CERBER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "CERBER_ALLOW_PRIVATE_CALLBACKS": "1",
    "CERBER_POLL_INTERVAL": "0.05",
    "CERBER_RETRY_SCHEDULE": "0,0.1,0.1",
    "CERBER_RATE_LIMIT": "0",  # the tests of one minute are many requests from one address
}


def missing(what: str, command: str) -> None:
    """Skips where this machine can't run a test; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing in CI: {command}")
    pytest.skip(f"no {what}: {command}")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    url = make_url(MYSQL)
    name = f"cerber_test_{os.getpid()}"
    at = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password or ""}
    try:
        connection = pymysql.connect(**at)
    except pymysql.err.OperationalError:
        missing("MySQL or MariaDB server", "apt-get install mariadb-server, or set CERBER_TEST_MYSQL_URL")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        test_url = url.set(database=name).render_as_string(hide_password=False)
        _migrate(test_url)
        yield test_url
        cursor.execute(f"DROP DATABASE {name}")
    connection.close()


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty database."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("mysql_url")
    _empty(url)
    return url


@pytest.fixture
def env(database_url: str) -> dict[str, str]:
    return ENV | {"CERBER_DATABASE_URL": database_url}


@pytest.fixture
def clock() -> Clock:
    """What the app goes by: the machine's time, until a test stops it."""
    return Clock()


@pytest.fixture
def app(env: dict[str, str], clock: Clock) -> Iterator[Flask]:
    app = create_app(env, clock)
    app.testing = True
    yield app
    _dispose(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    """A merchant, and a wallet for its payments."""
    make_wallet(app)
    return make_merchant(app)


@pytest.fixture
def shop() -> Iterator[tuple[Shop, str]]:
    """A merchant's server and its callback URL."""
    with open_shop() as opened:
        yield opened


def _migrate(url: str) -> None:
    app = create_app(ENV | {"CERBER_DATABASE_URL": url})
    with app.app_context():
        upgrade()
    _dispose(app)


def _empty(url: str) -> None:
    app = create_app(ENV | {"CERBER_DATABASE_URL": url})
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS=0")
        for table in Base.metadata.sorted_tables:
            connection.execute(table.delete())
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS=1")
    _dispose(app)


def _dispose(app: Flask) -> None:
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
