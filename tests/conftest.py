"""An app on a fresh database, on each engine: SQLite always, MariaDB over a real connection where one runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cerber.app import create_app
from cerber.config import ROOT
from tests.support.clock import Clock
from tests.support.databases import ENV, dispose, empty, empty_database, migrate
from tests.support.factories import MerchantKeys, make_merchant, make_wallet
from tests.support.mariadb_server import Server, private_server
from tests.support.shop import Shop, open_shop
from tests.support.templates import COMPILED

LONGEST = ["chaos", "worker", "browser"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, then the files with something slow in them."""

    def rank(item: pytest.Item) -> int:
        kind = item.path.relative_to(ROOT / "tests").parts[0]
        return LONGEST.index(kind) if kind in LONGEST else len(LONGEST) + (item.get_closest_marker("slow") is None)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mysql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with empty_database("mariadb", tmp_path_factory.getbasetemp()) as url:
        migrate(url)
        yield url


@pytest.fixture(scope="module")
def migrated_server() -> Iterator[Server]:
    with private_server() as server:
        migrate(server.url)
        yield server


@pytest.fixture
def server(migrated_server: Server) -> Server:
    """A MariaDB of the tests' own, with empty tables. It runs; a test may stop it, and leave it as it likes."""
    migrated_server.start()
    empty(migrated_server.url)
    return migrated_server


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty database."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("mysql_url")
    empty(url)
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
    app.jinja_env.bytecode_cache = COMPILED
    yield app
    dispose(app)


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
