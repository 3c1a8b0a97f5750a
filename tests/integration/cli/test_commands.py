"""The commands, as a person calls them: what they print, and one line where something is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from flask import Flask
from sqlalchemy import delete, select, update
from sqlalchemy.engine import make_url

from cerber import signing
from cerber.app import create_app
from cerber.config import ROOT, BadSetting, from_environment
from cerber.db import engines
from cerber.db.engines import db
from cerber.diagnosis import checks
from cerber.webhooks.models import Webhook, Worker
from tests.support.clock import now
from tests.support.databases import ENV, dispose
from tests.support.factories import make_merchant, make_wallet, open_payment
from tests.support.workers import decide

Finished: TypeAlias = "subprocess.CompletedProcess[str]"
AS_FLASK = ("-m", "flask")
READS = {
    "merchant list": "",
    "merchant show taken": "",
    "merchant cancel-open taken": "",  # that has none open
    "wallet list": "",
    "operator list": "",
    "doctor": "",
    "secrets rotate-keys": "",  # it writes only where an older key has sealed something
    "balance verify": "",
    "balance verify --repair": "",
}
WRITES = {  # each with what it is given on standard input
    "merchant add new": "",
    "merchant rotate taken payment": "",
    "merchant block taken": "",
    "merchant unblock taken": "",
    "merchant require-v2 taken": "",
    "merchant networks taken 10.0.0.0/8": "",
    "merchant rename taken Shop": "",
    "merchant limit taken --open-payments 5": "",
    "wallet add 2 https://m10.example/2": "",
    "wallet pause 1": "",
    "wallet resume 1": "",
    "operator add anna --password-stdin": "correct horse battery\n",
    "operator password anna --password-stdin": "correct horse battery\n",
    "operator disable anna": "",
    "deliver --once": "",
}
FOR_THE_SYSTEM = {"db upgrade": "", "deliver": ""}


def run(app: Flask, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(args=list(arguments), input=stdin)
    return result.exit_code, result.stdout, result.stderr


def flask(*arguments: str, url: str, python: Sequence[str] = AS_FLASK, stdin: str = "") -> Finished:
    """The command in a process of its own."""
    env = os.environ | ENV | {"CERBER_DATABASE_URL": url}
    command = [sys.executable, *python, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, timeout=60)


def together(commands: Mapping[str, str], url: str) -> dict[str, Finished]:
    """Several commands, each in a process of its own."""
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda line: flask(*line.split(), url=url, stdin=commands[line]), commands)
    return dict(zip(commands, results, strict=True))


def assert_one_line(command: str, finished: Finished) -> None:
    """It failed, and said so in one line: doctor in its own report."""
    said = finished.stdout if command == "doctor" else finished.stderr
    silent = finished.stderr if command == "doctor" else finished.stdout
    assert (command, finished.returncode, silent) == (command, 1, "")
    assert len(said.splitlines()) == 1, said
    assert said.startswith("BAD  database: " if command == "doctor" else "Error: "), said


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated, empty database."""
    shutil.copy(sqlite_template, tmp_path / "test.db")
    return f"sqlite:///{tmp_path / 'test.db'}"


def test_a_merchant_gets_two_secrets_and_a_rotation_a_third(app: Flask) -> None:
    code, out, _ = run(app, "merchant", "add", "shop-1", "--name", "Shop")
    added = json.loads(out)
    assert code == 0
    assert added["merch_id"] == "shop-1"
    assert signing.check_secret(added["payment_secret"]) != signing.check_secret(added["balance_secret"])
    rotated = json.loads(run(app, "merchant", "rotate", "shop-1", "balance")[1])
    assert rotated["kind"] == "balance"
    assert rotated["old_valid_until"].endswith("Z")
    listed = run(app, "merchant", "list", "--json")[1]
    assert json.loads(listed) == [{"merch_id": "shop-1", "name": "Shop", "blocked": False}]
    assert "whsec" not in listed


def test_a_merchant_can_move_in_with_its_secrets(app: Flask) -> None:
    given = {"payment_secret": signing.new_secret(), "balance_secret": signing.new_secret()}
    code, out, _ = run(app, "merchant", "add", "moved", "--secrets-stdin", stdin=json.dumps(given))
    assert (code, json.loads(out)) == (0, {"merch_id": "moved"} | given)


@pytest.mark.parametrize(
    ("arguments", "stdin", "status"),
    [
        (["merchant", "add", "taken"], "", 1),
        (["merchant", "add", "x" * 65], "", 2),
        (["merchant", "add", "new", "--secrets-stdin"], '{"payment_secret": "short"}', 1),
        (["merchant", "add", "new", "--secrets-stdin"], '{"payment_secret": "a", "balance_secret": "b"}', 1),
        (["merchant", "rotate", "nobody", "payment"], "", 1),
        (["merchant", "rotate", "taken", "other"], "", 2),
        (["wallet", "add", "1", "no-link"], "", 2),
        (["wallet", "add", "1", "https://m10.example/1", "--daily-limit", "5,00"], "", 2),
        (["wallet", "pause", "none"], "", 1),
        (["operator", "add", "a", "--password-stdin"], "short\n", 1),
        (["deliver", "--seconds", "5"], "", 2),
        (["deliver", "--twice"], "", 2),
        (["balance", "verify", "--from", "payments"], "", 2),
        (["balance", "verify", "--from", "pages:1:2"], "", 2),
        (["merchant", "rotate", "taken"], "", 2),
        (["merchant", "remove"], "", 2),
        (["doctor", "please"], "", 2),
        (["db", "sideways"], "", 2),
    ],
)
def test_a_mistake_is_told_without_a_traceback(app: Flask, arguments: list[str], stdin: str, status: int) -> None:
    make_merchant(app, "taken")
    code, _, err = run(app, *arguments, stdin=stdin)
    assert code == status
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1


def test_wallets_are_listed_paused_and_resumed(app: Flask) -> None:
    assert run(app, "wallet", "add", "99450", "https://m10.example/1", "--daily-limit", "5000.50")[0] == 0
    run(app, "wallet", "pause", "99450")
    wallet = json.loads(run(app, "wallet", "list", "--json")[1])[0]
    assert (wallet["daily_limit"], wallet["paused"]) == ("5000.50", True)
    run(app, "wallet", "resume", "99450")
    assert json.loads(run(app, "wallet", "list", "--json")[1])[0]["paused"] is False


def doctor(app: Flask) -> dict[str, tuple[bool, str]]:
    """What it found, by name: whether it is well, and the message."""
    code, out, _ = run(app, "doctor", "--json")
    told = json.loads(out)
    assert code == (0 if told["ok"] else 1)
    return {check["name"]: (check["ok"], check["message"]) for check in told["checks"]}


def test_doctor_says_what_to_do(app: Flask) -> None:
    found = doctor(app)
    assert found["schema"] == (True, "current")
    assert found["worker"] == (False, "none has ever run: start `flask deliver`")
    assert found["outbox"] == (True, "nothing that may be sent is due")
    assert "flask wallet add" in found["wallets"][1]


def test_doctor_tells_the_workers_alive_and_names_the_youngest(app: Flask) -> None:
    with app.app_context():
        for name, age in (("old:1", 90), ("one:2", 20), ("two:3", 5)):
            seen = now() - timedelta(seconds=age)
            db.session.add(Worker(name=name, started_at=seen, heartbeat_at=seen))
        db.session.commit()
    well, message = doctor(app)["worker"]
    assert well
    assert message.startswith("2 alive, two:3 was seen last, ")
    with app.app_context():
        db.session.execute(delete(Worker).where(Worker.name != "old:1"))
        db.session.commit()
    well, message = doctor(app)["worker"]
    assert not well
    assert message.startswith("none is alive, old:1 was seen last, ")


def test_doctor_tells_since_when_an_event_could_be_sent(app: Flask) -> None:
    make_wallet(app)
    key = open_payment(app, make_merchant(app))
    decide(app, key, 200_00, 300_00)
    for minutes, well in ((4, True), (6, False)):
        _age_events(app, minutes)
        assert doctor(app)["outbox"][0] is well
    assert "start `flask deliver`" in doctor(app)["outbox"][1]
    with app.app_context():  # what waits for an earlier event is no worker's fault
        first = db.session.scalars(select(Webhook).order_by(Webhook.id)).first()
        assert first is not None
        first.due_at = now() + timedelta(hours=1)
        db.session.commit()
    assert doctor(app)["outbox"][0]


def test_doctor_tells_whether_a_power_cut_may_lose_something(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor(app)["durability"][0]
    dialect = make_url(app.config["SQLALCHEMY_DATABASE_URI"]).get_backend_name()
    question, _, name = checks._DURABLE[dialect]
    monkeypatch.setitem(checks._DURABLE, dialect, (question, 1 if dialect == "sqlite" else 2, name))
    well, message = doctor(app)["durability"]
    assert not well
    assert name in message


def _age_events(app: Flask, minutes: int) -> None:
    with app.app_context():
        db.session.execute(update(Webhook).values(due_at=now() - timedelta(minutes=minutes)))
        db.session.commit()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CERBER_SECRET_KEY", "short"),
        ("CERBER_ENCRYPTION_KEYS", "x"),
        ("CERBER_DATABASE_URL", "postgres://x"),
        ("CERBER_DATABASE_URL", "mysql://root:x@host:notaport/db"),
        ("CERBER_DATABASE_URL", "mysql://root@[::1/db"),
        ("CERBER_DATABASE_URL", "mysql+pymysql://"),
        ("CERBER_DATABASE_URL", "mysql+pymysql://root@host/db?bogus=1"),
        ("CERBER_PAYMENT_TTL", "-1"),
        ("CERBER_MODE", "test"),
        ("CERBER_TIMEZONE", "Mars/Base"),
        ("CERBER_RETRY_SCHEDULE", "1,x"),
        ("CERBER_POLL_INTERVAL", "nan"),
        ("CERBER_BASE_URL", "pay.example"),
        ("CERBER_BASE_URL", "https://pay.example:99999"),
        ("CERBER_BASE_URL", "https://платёж.az"),
        ("CERBER_EGRESS_PROXY", "https://user:hunter2@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "socks5://proxy.example:1080"),
        ("CERBER_EGRESS_PROXY", "user:hunter2@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://proxy.example"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy.example"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2/3@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@3@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2%D1%8F@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy.example:65536"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy.example:0"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@256.1.1.1:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy..example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:[hunter2@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2é@proxy.example:3128"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy.example:3128/path"),
        ("CERBER_EGRESS_PROXY", "http://user:hunter2@proxy.example:3128\nx"),
        ("CERBER_METRICS_TOKEN", "hunter2hunter2h"),
        ("CERBER_METRICS_TOKEN", "hunter2 hunter2 hunter2"),
        ("CERBER_METRICS_TOKEN", "hunter2hunter2hunter2я"),
        ("CERBER_ATTEMPT_DAYS", "0"),
        ("CERBER_ATTEMPT_DAYS", "3651"),
        ("CERBER_ATTEMPT_DAYS", "1.5"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name} ") as caught:
        from_environment(ENV | {name: value})
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    ["http://proxy.example:3128", "http://user:p%40ss@10.0.0.1:3128", "http://u:@[::1]:8080/", "http://proxy:80"],
)
def test_a_proxy_is_taken_as_it_came(proxy: str) -> None:
    assert from_environment(ENV | {"CERBER_EGRESS_PROXY": proxy}).egress_proxy == proxy


def test_what_isnt_set_has_its_default() -> None:
    settings = from_environment(ENV | {"CERBER_EGRESS_PROXY": "", "CERBER_METRICS_TOKEN": " "})
    assert (settings.egress_proxy, settings.metrics_token, settings.attempt_days) == (None, None, 30)


def test_a_metrics_token_and_days_of_attempts_are_taken() -> None:
    settings = from_environment(ENV | {"CERBER_METRICS_TOKEN": "a" * 16, "CERBER_ATTEMPT_DAYS": "3650"})
    assert (settings.metrics_token, settings.attempt_days) == ("a" * 16, 3650)


def test_a_bad_setting_stops_the_start_with_one_line() -> None:
    env = os.environ | ENV | {"CERBER_PAYMENT_TTL": "soon"}
    command = [sys.executable, "-c", "import wsgi"]
    started = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert started.returncode == 1
    assert started.stderr.strip().startswith("CERBER_PAYMENT_TTL must be")
    assert len(started.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_worker_carries_no_migrations_and_db_has_them(sqlite_url: str) -> None:
    sent = flask("deliver", "--once", url=sqlite_url, python=("-X", "importtime", *AS_FLASK))
    loaded = {line.rpartition("|")[2].strip() for line in sent.stderr.splitlines()}
    assert sent.returncode == 0
    assert "cerber.webhooks.worker.loop" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"alembic", "flask_migrate", "mako"}}
    shown = together({"db current": "", "--help": "", "db --help": ""}, sqlite_url)
    assert "(head)" in shown["db current"].stdout
    assert "Perform database migrations." in shown["--help"].stdout
    assert "upgrade" in shown["db --help"].stdout


@pytest.mark.slow
def test_each_command_says_in_one_line_that_the_server_is_away() -> None:
    url = "mysql+pymysql://cerber:password@127.0.0.1:1/cerber"
    for command, finished in together(READS | WRITES | FOR_THE_SYSTEM, url).items():
        assert_one_line(command, finished)
        assert "password" not in finished.stderr


@pytest.mark.slow
def test_a_file_that_cannot_be_opened_is_told_in_one_line() -> None:
    commands = {"merchant list": "", "doctor": ""} | FOR_THE_SYSTEM
    for command, finished in together(commands, "sqlite:////nowhere/cerber.db").items():
        assert_one_line(command, finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lock", "refused", "served"),
    [
        (["BEGIN IMMEDIATE"], WRITES, READS),
        (["PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"], READS | WRITES, {}),
    ],
    ids=["writes", "reads too"],
)
def test_each_command_says_in_one_line_that_sqlite_is_locked(
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    lock: list[str],
    refused: dict[str, str],
    served: dict[str, str],
) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    app = create_app(ENV | {"CERBER_DATABASE_URL": sqlite_url})
    make_merchant(app, "taken")
    make_wallet(app, "1")
    dispose(app)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
        for statement in lock:
            holder.execute(statement)
        for command, stdin in refused.items():
            finished = subprocess.CompletedProcess(command, *run(app, *command.split(), stdin=stdin))
            assert_one_line(command, finished)
            assert command == "doctor" or "database is locked" in finished.stderr
        for command in served:
            assert run(app, *command.split())[2] == ""
        if not served:  # migrations go over a connection of their own, and its wait can be set in the URL
            assert_one_line("db upgrade", flask("db", "upgrade", url=f"{sqlite_url}?timeout=0.1"))
    dispose(app)
