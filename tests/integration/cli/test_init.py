"""`flask init`, as an owner runs it on an empty machine: in a process of its own, with nothing set."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from cerber.config import ROOT
from tests.support.databases import empty_database

PASSWORD = "correct horse battery"
BARE = {name: value for name, value in os.environ.items() if not name.startswith(("CERBER_", "FLASK_"))}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif((ROOT / ".env").exists(), reason="this checkout has its own settings in .env"),
]


def flask(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env=BARE | env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def init(file: Path, url: str, *others: str, stdin: str = f"{PASSWORD}\n") -> subprocess.CompletedProcess[str]:
    given = ("--env-file", str(file), "--mode", "live", "--database-url", url, "--admin", "boss", "--password-stdin")
    return flask("init", *given, *others, stdin=stdin)


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "mariadb":
        request.getfixturevalue("mysql_url")  # skips where there is no server
    with empty_database(request.param, tmp_path) as empty:
        yield empty


def test_one_command_makes_settings_tables_and_an_admin(tmp_path: Path, url: str) -> None:
    file = tmp_path / "settings"
    made = init(file, url, "--base-url", "https://pay.example.com", "--timezone", "Europe/Istanbul")
    assert (made.returncode, made.stderr) == (0, "")
    assert "flask wallet add" in made.stdout

    values = dict(dotenv_values(file))
    assert values["CERBER_DATABASE_URL"] == url
    assert values["CERBER_BASE_URL"] == "https://pay.example.com"
    assert values["CERBER_TIMEZONE"] == "Europe/Istanbul"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(value in made.stdout for name, value in values.items() if "KEY" in name and value)

    settings = {name: value for name, value in values.items() if value}
    assert flask("operator", "list", **settings).stdout == "boss\tadmin\tactive\n"
    doctor = flask("doctor", **settings).stdout
    assert "ok   schema: current" in doctor
    assert "BAD  wallets" in doctor, "no demonstration rows"


def test_a_shell_reads_the_file_as_the_gateway_does(tmp_path: Path) -> None:
    file, url = tmp_path / "settings", f"sqlite:///{tmp_path}/user$cerber `x` $(y).db"
    assert init(file, url).returncode == 0
    sourced = subprocess.run(
        ["bash", "-c", f"set -eu; source '{file}'; printf %s \"$CERBER_DATABASE_URL\""],
        capture_output=True,
        text=True,
    )
    assert sourced.stdout == url == dotenv_values(file)["CERBER_DATABASE_URL"]


def test_over_an_existing_file_nothing_changes(tmp_path: Path) -> None:
    file, url = tmp_path / "settings", f"sqlite:///{tmp_path}/new.db"
    file.write_text("mine")
    refused = init(file, url)
    assert refused.returncode == 1
    assert "there already" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert file.read_text() == "mine"
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("url", "stdin", "said"),
    [
        ("postgresql://x/y", f"{PASSWORD}\n", "CERBER_DATABASE_URL must be sqlite"),
        ("mysql+pymysql://nobody@127.0.0.1:1/none", f"{PASSWORD}\n", "The database refused"),
        ("sqlite:////nowhere/at/all/x.db", f"{PASSWORD}\n", "The database refused"),
        ("sqlite:////tmp/it's.db", f"{PASSWORD}\n", "CERBER_DATABASE_URL can't hold a quote"),
        ("sqlite:///{}/new.db", "short\n", "at least 10 characters"),
        ("sqlite:///{}/new.db", "", "at least 10 characters"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_no_file(tmp_path: Path, url: str, stdin: str, said: str) -> None:
    refused = init(tmp_path / "settings", url.format(tmp_path), stdin=stdin)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*settings*"))


def test_a_database_in_use_gets_no_fresh_keys(tmp_path: Path, url: str) -> None:
    first = tmp_path / "first"
    assert init(first, url).returncode == 0
    settings = {name: value for name, value in dotenv_values(first).items() if value}
    assert flask("merchant", "add", "shop", **settings).returncode == 0
    refused = init(tmp_path / "second", url)
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert not (tmp_path / "second").exists()


def test_without_a_person_what_is_missing_is_named(tmp_path: Path) -> None:
    refused = flask("init", "--env-file", str(tmp_path / "settings"), "--password-stdin")
    assert refused.returncode == 2
    assert "--admin" in refused.stderr


def test_a_person_is_asked(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    file = tmp_path / "settings"
    command = [sys.executable, "-m", "flask", "init", "--env-file", str(file)]
    url = f"sqlite:///{tmp_path}/asked.db"
    answers = {
        "Mode": "",
        "Database URL": url,
        "Public": "",
        "admin:": "boss",
        "Password:": PASSWORD,
        "Repeat": PASSWORD,
    }
    process = subprocess.Popen(command, cwd=ROOT, env=BARE, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        for question, answer in answers.items():
            _read_until(ours, question)
            os.write(ours, f"{answer}\n".encode())
        _read_until(ours, "What comes next")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert dotenv_values(file)["CERBER_MODE"] == "live"


def _read_until(terminal: int, question: str) -> None:
    """Waits until it was asked: what is typed before a password is asked for is thrown away."""
    shown = ""
    while question not in shown or not shown.rstrip(" ").endswith((":", "\n")):
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 4096).decode()


def test_other_commands_still_say_which_setting_is_missing() -> None:
    for command in (("db", "init"), ("wallet", "list"), ("deliver",)):
        refused = flask(*command)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
        assert refused.stderr.startswith("CERBER_SECRET_KEY is required")
