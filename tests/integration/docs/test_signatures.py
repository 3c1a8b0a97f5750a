"""The examples of docs/signatures.md, run from its own text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable

from cerber import signing
from cerber.config import ROOT
from tests.support.databases import missing

BODY = '{"payment_id":"3636363","status":"accept"}'
SECRET = signing.new_secret()


def test_the_shells_and_pythons_examples_sign_as_the_gateway_does() -> None:
    shell, python = examples()
    bash = shutil.which("bash") if shutil.which("openssl") else missing("openssl", "apt-get install openssl")
    told = subprocess.run(
        [str(bash), "-euc", shell],
        env=os.environ | {"SECRET": SECRET, "T": "1795500000"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    path = "/bot_api/update_status/"
    assert told == signing.sign_v2(SECRET, "POST", path, 1795500000, BODY.encode())
    names: dict[str, Callable[..., str]] = {}
    exec(python, names)  # noqa: S102 - it is our own text
    made = names["signature_v2"](SECRET, "POST", path, BODY.encode())
    assert made == signing.sign_v2(SECRET, "POST", path, int(made[2:12]), BODY.encode())


def examples() -> list[str]:
    text = (ROOT / "docs" / "signatures.md").read_text()
    found = re.findall(r"<!-- example: a test runs it -->\n```(?:python)?\n(.*?)```", text, re.DOTALL)
    assert len(found) == 2
    return found
