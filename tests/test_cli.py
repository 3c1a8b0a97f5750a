"""The commands, as a person calls them: what they print, and one line where something is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from flask import Flask

from cerber import signing
from cerber.config import ROOT, BadSetting, from_environment
from tests.conftest import ENV
from tests.factories import make_merchant


def run(app: Flask, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(args=list(arguments), input=stdin)
    return result.exit_code, result.stdout, result.stderr


def flask(*arguments: str, url: str, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    env = os.environ | ENV | {"CERBER_DATABASE_URL": url}
    command = [sys.executable, *python, "-m", "flask", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


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
    ],
)
def test_a_mistake_is_told_without_a_traceback(app: Flask, arguments: list[str], stdin: str, status: int) -> None:
    make_merchant(app, "taken")
    code, _, err = run(app, *arguments, stdin=stdin)
    assert code == status
    assert "Error: " in err
    assert "Traceback" not in err


def test_wallets_are_listed_paused_and_resumed(app: Flask) -> None:
    assert run(app, "wallet", "add", "99450", "https://m10.example/1", "--daily-limit", "5000.50")[0] == 0
    run(app, "wallet", "pause", "99450")
    wallet = json.loads(run(app, "wallet", "list", "--json")[1])[0]
    assert (wallet["daily_limit"], wallet["paused"]) == ("5000.50", True)
    run(app, "wallet", "resume", "99450")
    assert json.loads(run(app, "wallet", "list", "--json")[1])[0]["paused"] is False


def test_doctor_says_what_to_do(app: Flask) -> None:
    code, out, _ = run(app, "doctor", "--json")
    found = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert found["schema"]["ok"]
    assert "flask deliver" in found["worker"]["message"]
    assert "flask wallet add" in found["wallets"]["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CERBER_SECRET_KEY", "short"),
        ("CERBER_ENCRYPTION_KEYS", "x"),
        ("CERBER_DATABASE_URL", "postgres://x"),
        ("CERBER_PAYMENT_TTL", "-1"),
        ("CERBER_MODE", "test"),
        ("CERBER_TIMEZONE", "Mars/Base"),
        ("CERBER_RETRY_SCHEDULE", "1,x"),
        ("CERBER_POLL_INTERVAL", "nan"),
        ("CERBER_BASE_URL", "pay.example"),
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


def test_the_worker_carries_no_migrations_and_db_has_them(sqlite_url: str) -> None:
    sent = flask("deliver", "--once", url=sqlite_url, python=["-X", "importtime"])
    loaded = {line.rpartition("|")[2].strip() for line in sent.stderr.splitlines()}
    assert sent.returncode == 0
    assert "cerber.delivery" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"alembic", "flask_migrate", "mako"}}
    assert "(head)" in flask("db", "current", url=sqlite_url).stdout
    assert "Perform database migrations." in flask("--help", url=sqlite_url).stdout
    assert "upgrade" in flask("db", "--help", url=sqlite_url).stdout
