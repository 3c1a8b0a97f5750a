"""What a careless operator or a hurried admin does, and what must not come of it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from cerber.config import ROOT
from cerber.errors import LoginBusy, TooManyLogins, WrongLogin
from cerber.operators import delays, login, staff
from tests.support.clock import Clock, now
from tests.support.factories import make_merchant

PASSWORD = "a password that is long"


@pytest.mark.parametrize(
    "link", ["https://", "https://x\n y", "https://m10.example/a b", "ftp://x", "https://x\u202e"]
)
def test_a_link_that_a_payer_could_not_open_is_refused(app: Flask, link: str) -> None:
    done = app.test_cli_runner().invoke(args=["wallet", "add", "99450", link])
    assert done.exit_code == 2
    assert app.test_cli_runner().invoke(args=["wallet", "list"]).output == ""


def test_a_name_of_several_lines_is_refused(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["merchant", "add", "shop-9", "--name", "a\nb\x1b[31m"])
    assert (done.exit_code, len(done.output.splitlines())) == (1, 1)


def test_guesses_at_once_get_no_more_tries(app: Flask, clock: Clock) -> None:
    clock.stop(now())
    with app.app_context():
        staff.add("anna", PASSWORD, "operator", "cli")

    def guess(number: int) -> type[Exception]:
        while True:
            try:
                with app.app_context():
                    login.log_in("anna", f"guess {number}", "", f"10.0.0.{number}")
            except LoginBusy:
                continue  # somebody else's password is looked at
            except (WrongLogin, TooManyLogins) as error:
                return type(error)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(12)))
    assert answers.count(WrongLogin) == delays.FREE_OF_NAME
    assert answers.count(TooManyLogins) == 12 - delays.FREE_OF_NAME


def test_a_secret_that_could_not_be_shown_is_told_to_be_in_use(app: Flask, env: dict[str, str]) -> None:
    make_merchant(app)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "flask", "merchant", "rotate", "shop-1", "payment"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin"} | env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "is in use, but was not shown. Rotate it." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["[" * 100_000, "", "null", json.dumps({"payment_secret": 1})])
def test_secrets_that_cannot_be_read_are_one_line(app: Flask, text: str) -> None:
    done = app.test_cli_runner().invoke(args=["merchant", "add", "shop-9", "--secrets-stdin"], input=text)
    assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
