"""The code that docs/delivery.md gives to merchants, run from its own text in each language."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cerber import signing
from cerber.config import ROOT
from tests.support.databases import missing

pytestmark = pytest.mark.slow

SECRET, OTHER = signing.new_secret(), signing.new_secret()
BODY = b'{"status": "confirm", "payment_id": "\\u0259-1", "confirm_sum": "500"}'


@dataclass(frozen=True)
class Language:
    """How a block of the document is run: reads JSON from standard input, prints `true` or `false`."""

    block: str
    program: str
    package: str
    suffix: str
    after: str


LANGUAGES = [
    Language(
        "python",
        sys.executable,
        "python3",
        ".py",
        "\nimport json, sys\nw = json.load(sys.stdin)\n"
        "print(json.dumps(is_genuine(w['secret'], w['headers'], w['body'].encode())))\n",
    ),
    Language(
        "php",
        "php",
        "php-cli",
        ".php",
        "\n$w = json_decode(stream_get_contents(STDIN), true);\n"
        "echo json_encode(is_genuine($w['secret'], $w['headers'], $w['body']));\n",
    ),
    Language(
        "js",
        "node",
        "nodejs",
        ".cjs",
        "\nconst w = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));\n"
        "console.log(JSON.stringify(isGenuine(w.secret, w.headers, Buffer.from(w.body))));\n",
    ),
]


def headers(*secrets: str, age: int = 0, event: str = "evt_1") -> dict[str, str]:
    sent_at = int(time.time()) - age
    return {
        "webhook-id": event,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signing.standard_signature(secrets, event, sent_at, BODY),
    }


def cases() -> dict[str, tuple[dict[str, str], bytes, bool]]:
    good = headers(SECRET)
    return {
        "good": (good, BODY, True),
        "while rotating": (headers(OTHER, SECRET), BODY, True),
        "another's secret": (headers(OTHER), BODY, False),
        "another body": (good, BODY.replace(b"500", b"900"), False),
        "another event": (good | {"webhook-id": "evt_2"}, BODY, False),
        "too old": (headers(SECRET, age=400), BODY, False),
        "from the future": (headers(SECRET, age=-400), BODY, False),
        "no time": (good | {"webhook-timestamp": "soon"}, BODY, False),
        "no signature": (good | {"webhook-signature": ""}, BODY, False),
        "cut short": (good | {"webhook-signature": good["webhook-signature"][:-1]}, BODY, False),
        "no headers": ({}, BODY, False),
    }


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.block)
def test_the_documents_code_tells_genuine_webhooks_from_others(language: Language, tmp_path: Path) -> None:
    if shutil.which(language.program) is None:
        missing(language.program, f"apt-get install {language.package}")
    program = tmp_path / f"verify{language.suffix}"
    program.write_text(code(language.block) + language.after)
    for name, (sent, body, genuine) in cases().items():
        webhook = json.dumps({"secret": SECRET, "headers": sent, "body": body.decode()})
        done = subprocess.run(
            [language.program, str(program)], input=webhook, capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stdout.strip() == json.dumps(genuine), name


def code(block: str) -> str:
    """The document's block in that language."""
    found = re.findall(rf"^```{block}\n(.*?)^```", (ROOT / "docs" / "delivery.md").read_text(), re.M | re.S)
    assert len(found) == 1
    return str(found[0])
