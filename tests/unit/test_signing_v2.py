"""`Signature-V2` against its vectors, and against openssl where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cerber import signing
from tests.support.databases import missing

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "signature-v2-vectors.json").read_text("utf-8"))[
    "cases"
]
NOW = 1795500000
GOOD = CASES[0]["Signature-V2"]


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def message(case: dict[str, Any]) -> bytes:
    return str(case["body"] if case["body"] is not None else case["query"]).encode()


@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_vector(case: dict[str, Any]) -> None:
    made = signing.sign_v2(case["secret"], case["method"], case["path"], case["t"], message(case))
    assert made == case["Signature-V2"]
    assert signing.read_signature_v2(made, NOW) == (NOW, bytes.fromhex(made[-64:]))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_openssl_makes_the_same(case: dict[str, Any]) -> None:
    openssl = shutil.which("openssl") or missing("openssl", "apt-get install openssl")
    signed = f"{case['method']}\n{case['path']}\n{case['t']}\n".encode() + message(case)
    command = [str(openssl), "dgst", "-sha256", "-hmac", case["secret"]]
    told = subprocess.run(command, input=signed, capture_output=True, check=True).stdout.decode()
    assert f"t={case['t']},v2={told.split()[-1]}" == case["Signature-V2"]


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_it_is_valid_for_five_minutes_either_way(seconds: int) -> None:
    assert signing.read_signature_v2(GOOD, NOW + seconds)[1] != signing.NO_DIGEST


@pytest.mark.parametrize("seconds", [-301, -300.5, 300.5, 301, 10**9, -(10**9)])
def test_it_is_valid_no_longer(seconds: float) -> None:
    assert signing.read_signature_v2(GOOD, NOW + seconds) == (0, signing.NO_DIGEST)


def test_its_hex_is_read_in_either_case() -> None:
    assert signing.read_signature_v2(GOOD[:16] + GOOD[16:].upper(), NOW) == signing.read_signature_v2(GOOD, NOW)


DIGEST = GOOD[-64:]


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        DIGEST,
        f"v2={DIGEST}",
        f"t={NOW}",
        f"t={NOW},v2=",
        f"t={NOW},v2={DIGEST[:-1]}",
        f"t={NOW},v2={DIGEST}0",
        f"t={NOW},v2={DIGEST}\n",
        f" t={NOW},v2={DIGEST}",
        f"t={NOW}, v2={DIGEST}",
        f"t={NOW};v2={DIGEST}",
        f"v2={DIGEST},t={NOW}",
        f"T={NOW},V2={DIGEST}",
        f"t={NOW},v1={DIGEST}",
        f"t={NOW},v2={DIGEST},v2={DIGEST}",
        f"t={NOW},t={NOW},v2={DIGEST}",
        f"{GOOD},{GOOD}",
        f"t=0{NOW},v2={DIGEST}",
        f"t=+{NOW},v2={DIGEST}",
        f"t={NOW}.0,v2={DIGEST}",
        f"t= {NOW},v2={DIGEST}",
        f"t=1795_500_000,v2={DIGEST}",
        f"t=-{NOW},v2={DIGEST}",
        f"t={'9' * 400},v2={DIGEST}",
        f"t=١٧٩٥٥٠٠٠٠٠,v2={DIGEST}",
        f"t={NOW},v2={'g' * 64}",
        f"t={NOW},v2={'٠' * 64}",
        f"t={NOW},v2=0x{DIGEST[2:]}",
    ],
)
def test_what_is_not_exactly_its_form_is_none(header: str) -> None:
    assert signing.read_signature_v2(header, NOW) == (0, signing.NO_DIGEST)
