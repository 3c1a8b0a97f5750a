"""Bad days of the database, brought about for real, and what `flask doctor` says of each."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pymysql
import pytest
from flask import Flask
from sqlalchemy.engine import URL, make_url

from cerber.app import create_app
from cerber.db.engines import db
from cerber.diagnosis import access
from tests.support.databases import ENV, dispose


def findings(url: str, **settings: str) -> dict[str, tuple[bool, str]]:
    app = create_app(ENV | settings | {"CERBER_DATABASE_URL": url})
    result = app.test_cli_runner().invoke(args=["doctor", "--json"])
    dispose(app)
    assert result.stdout, result.output
    return {check["name"]: (check["ok"], check["message"]) for check in json.loads(result.stdout)["checks"]}


def bad(url: str, name: str = "database") -> str:
    well, message = findings(url)[name]
    assert not well
    return message


@pytest.fixture
def migrated(sqlite_template: Path, tmp_path: Path) -> Path:
    (tmp_path / "test.db").write_bytes(sqlite_template.read_bytes())
    return tmp_path / "test.db"


@pytest.fixture
def user(mysql_url: str) -> Iterator[URL]:
    """A user of the test's database who may hold one connection at most."""
    url, name, password = make_url(mysql_url), f"cerber_{secrets.token_hex(4)}", "p@ss:w/rd"
    at = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password or ""}
    with pymysql.connect(**at) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS 1")
        cursor.execute(f"GRANT ALL ON {url.database}.* TO '{name}'@'%'")
        try:
            yield url.set(username=name, password=password)
        finally:
            cursor.execute(f"DROP USER '{name}'@'%'")


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def test_a_wrong_password_is_told_with_how_to_write_one(user: URL) -> None:
    message = bad(text_of(user.set(password="wrong")))
    assert "refuses the user or the password" in message
    assert "@ is %40" in message
    assert "1045" in message
    assert "wrong" not in message


def test_a_password_that_is_not_encoded_is_told(user: URL) -> None:
    with pytest.raises(ValueError, match="CERBER_DATABASE_URL"):
        create_app(ENV | {"CERBER_DATABASE_URL": f"mysql+pymysql://{user.username}:p@ss:w/rd@127.0.0.1/x"})


def test_a_database_that_is_not_there_is_told(mysql_url: str) -> None:
    assert "no database of this name" in bad(text_of(make_url(mysql_url).set(database="cerber_nowhere")))


def test_a_user_without_rights_is_told(user: URL) -> None:
    assert "may not use this database" in bad(text_of(user.set(database="mysql")))


def test_a_server_that_is_not_there_is_told() -> None:
    for host in ("127.0.0.1:1", "no-such-host.invalid:3306"):
        assert "no server answers there" in bad(f"mysql+pymysql://me:secret@{host}/cerber")


def test_a_limit_of_connections_is_told(user: URL) -> None:
    with ExitStack() as held:
        at = {"host": user.host, "port": user.port or 3306, "user": user.username, "password": user.password}
        held.enter_context(pymysql.connect(**at))
        message = bad(text_of(user))
    assert "gives no more connections" in message
    assert "1226" in message


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "can't be opened" in bad(f"sqlite:///{tmp_path}/nowhere/x.db")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("a letter, and not a database at all" * 200)
    assert "no SQLite database" in bad(f"sqlite:///{tmp_path}/x.db")


def test_a_damaged_file_is_told(migrated: Path) -> None:
    pages = bytearray(migrated.read_bytes())
    pages[100:400] = bytes(300)
    migrated.write_bytes(bytes(pages))
    assert "damaged" in bad(f"sqlite:///{migrated}")


def test_a_file_that_can_only_be_read_is_told(migrated: Path) -> None:
    with closing(sqlite3.connect(migrated)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    assert "can't be written" in bad(f"sqlite:///file:{migrated}?mode=ro&uri=true", "writing")


def test_a_disk_without_room_is_told(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(f"sqlite:///{migrated}")["writing"][0]
    monkeypatch.setattr(access, "LEAST_MEGABYTES", 10**9)
    assert "MB are free on the database's disk: make room" in bad(f"sqlite:///{migrated}", "writing")


def test_where_all_is_well_nothing_is_changed(app: Flask) -> None:
    with app.app_context():
        assert access.why_away() is None
        assert access.why_not_written() is None
        url = text_of(db.engine.url)
    assert findings(url)["writing"][0]


# The journal of an SQLite file


def journal(path: Path, **settings: str) -> str:
    app = create_app(ENV | settings | {"CERBER_DATABASE_URL": f"sqlite:///{path}"})
    with app.app_context(), db.engine.connect():
        pass
    dispose(app)
    with closing(sqlite3.connect(path)) as connection:
        [(found,)] = connection.execute("PRAGMA journal_mode")
    return str(found)


PYTHONANYWHERE = {"PYTHONANYWHERE_DOMAIN": "pythonanywhere.com"}


def test_a_new_file_gets_the_journal_of_its_place(tmp_path: Path) -> None:
    assert journal(tmp_path / "here.db") == "wal"
    assert journal(tmp_path / "there.db", **PYTHONANYWHERE) == "delete"


def test_a_command_run_elsewhere_leaves_a_live_file_as_it_is(tmp_path: Path) -> None:
    journal(tmp_path / "live.db", **PYTHONANYWHERE)
    with closing(sqlite3.connect(tmp_path / "live.db")) as connection:
        connection.execute("CREATE TABLE x (y)")
    assert journal(tmp_path / "live.db") == "delete"


def test_a_setting_decides_outright(tmp_path: Path) -> None:
    assert journal(tmp_path / "x.db", CERBER_SQLITE_JOURNAL="delete") == "delete"
    assert journal(tmp_path / "x.db", CERBER_SQLITE_JOURNAL="wal") == "wal"
    with pytest.raises(ValueError, match="CERBER_SQLITE_JOURNAL must be one of: wal, delete"):
        journal(tmp_path / "x.db", CERBER_SQLITE_JOURNAL="off")


def test_a_migration_makes_a_file_as_the_app_would(tmp_path: Path) -> None:
    app = create_app(ENV | PYTHONANYWHERE | {"CERBER_DATABASE_URL": f"sqlite:///{tmp_path}/x.db"})
    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    dispose(app)
    assert journal(tmp_path / "x.db") == "delete"
