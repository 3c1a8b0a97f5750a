"""What `flask doctor` says of the host: what stands in front, and who may read the files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from cerber.app import create_app
from cerber.config import ROOT
from cerber.diagnosis import files
from tests.integration.cli.test_commands import doctor
from tests.support.clock import Clock, now
from tests.support.databases import ENV, dispose

FORWARDED = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def front(env: dict[str, str], clock: Clock, forwarded: bool = False, **settings: str) -> tuple[bool, str]:
    app = create_app(env | settings, clock)
    if forwarded:
        app.test_client().get("/health/live", headers=FORWARDED)
    found = doctor(app)["front"]
    dispose(app)
    return found


@pytest.mark.parametrize(
    "base_url", ["https://pay.shop.az", "https://pay.shop.az:8443/cerber", "http://8.8.8.8", "http://[2a00:1450::1]"]
)
def test_a_public_address_with_nothing_in_front_is_told(env: dict[str, str], clock: Clock, base_url: str) -> None:
    well, message = front(env, clock, CERBER_BASE_URL=base_url)
    assert not well
    assert base_url in message
    assert "CERBER_TRUSTED_PROXIES=1" in message
    assert front(env, clock, CERBER_BASE_URL=base_url, CERBER_TRUSTED_PROXIES="1")[0]


@pytest.mark.parametrize(
    "base_url", ["", "http://localhost:8000", "http://127.0.0.1", "http://10.0.0.5", "http://x.local"]
)
def test_a_private_address_needs_nothing_in_front(env: dict[str, str], clock: Clock, base_url: str) -> None:
    assert front(env, clock, CERBER_BASE_URL=base_url)[0]


def test_a_proxy_that_is_not_believed_is_told_until_it_is_or_is_gone(env: dict[str, str], clock: Clock) -> None:
    assert front(env, clock)[0]
    assert front(env, clock, forwarded=True, CERBER_TRUSTED_PROXIES="1")[0]
    well, message = front(env, clock, forwarded=True)
    assert not well
    assert "X-Forwarded-For" in message
    assert "CERBER_TRUSTED_PROXIES" in message
    assert front(env, clock, CERBER_TRUSTED_PROXIES="1")[0]
    assert not front(env, clock)[0], "the web process told, whoever asks"
    clock.stop(now() + timedelta(days=1, minutes=1))
    assert front(env, clock)[0]


def test_a_process_notes_it_once_an_hour(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from cerber.diagnosis import front

    written: list[int] = []
    monkeypatch.setattr(front, "_note", written.append)
    for _ in range(5):
        app.test_client().get("/health/live", headers=FORWARDED)
    assert len(written) == 1


def test_a_database_that_is_away_refuses_no_request_for_that(env: dict[str, str]) -> None:
    app = create_app(env | {"CERBER_DATABASE_URL": "mysql+pymysql://nobody@127.0.0.1:1/none"})
    assert app.test_client().get("/health/live", headers=FORWARDED).status_code == 200


# Files


def test_a_new_sqlite_file_is_its_owners_alone_and_what_stands_beside_it_too(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "new.db"
    settings = os.environ | ENV | {"CERBER_DATABASE_URL": f"sqlite:///{path}"}
    subprocess.run([sys.executable, "-m", "flask", "db", "upgrade"], cwd=ROOT, env=settings, check=True, timeout=60)
    app = create_app(dict(ENV | {"CERBER_DATABASE_URL": f"sqlite:///{path}"}))
    assert doctor(app)["files"][0]
    assert {entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) > 1, "a journal was looked at, too"
    path.chmod(0o644)
    well, message = doctor(app)["files"]
    assert not well
    assert f"chmod 600 {path}" in message
    dispose(app)


def test_a_database_that_is_there_keeps_its_permissions(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(sqlite_template.read_bytes())
    path.chmod(0o640)
    app = create_app(dict(ENV | {"CERBER_DATABASE_URL": f"sqlite:///{path}"}))
    assert not doctor(app)["files"][0]
    assert path.stat().st_mode & 0o777 == 0o640
    dispose(app)


def test_the_settings_and_the_folder_of_the_database_are_looked_at(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch, umask: None
) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "cerber.db").write_bytes(sqlite_template.read_bytes())
    (tmp_path / ".env").touch()
    monkeypatch.setattr(files, "ROOT", tmp_path)
    app = create_app(dict(ENV | {"CERBER_DATABASE_URL": f"sqlite:///{tmp_path}/instance/cerber.db"}))
    well, message = doctor(app)["files"]
    assert not well
    for remedy in (f"chmod 600 {tmp_path}/.env", f"chmod 700 {tmp_path}/instance", "cerber.db"):
        assert remedy in message
    subprocess.run(message.partition(": ")[2], shell=True, check=True)  # noqa: S602 - as told
    assert doctor(app)["files"][0]
    dispose(app)


def test_a_fresh_checkout_keeps_its_folder_from_others(tmp_path: Path, umask: None) -> None:
    copied = tmp_path / "checkout"
    code = (
        "import sys; from pathlib import Path; from cerber import app; app.ROOT = Path(sys.argv[1]); app.create_app()"
    )
    copied.mkdir()
    subprocess.run([sys.executable, "-c", code, str(copied)], cwd=ROOT, env=os.environ | ENV, check=True, timeout=60)
    assert (copied / "instance").stat().st_mode & 0o777 == 0o700
