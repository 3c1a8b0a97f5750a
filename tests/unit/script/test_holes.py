"""What script/holes.py makes of pip-audit's report."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from cerber.config import ROOT

SPEC = importlib.util.spec_from_file_location("holes", ROOT / "script" / "holes.py")
assert SPEC
assert SPEC.loader
holes: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(holes)

WELL: dict[str, Any] = {"name": "flask", "version": "3.1.0", "vulns": []}
HOLED: dict[str, Any] = {
    "name": "jinja2",
    "version": "3.0.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.0.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN: dict[str, Any] = {"name": "ours", "skip_reason": "not found"}


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_nothing_known_is_well() -> None:
    assert holes.judge(report(WELL, WELL), "") == ("2 packages checked, 0 known holes", 0)


def test_a_known_hole_fails_and_says_what_mends_it() -> None:
    said, status = holes.judge(report(WELL, HOLED, UNKNOWN), "Found 2 known vulnerabilities")
    assert status == 1
    assert said.splitlines() == [
        "2 packages checked, 2 known holes",
        "jinja2 3.0.0: PYSEC-1, mended in 3.0.1",
        "jinja2 3.0.0: PYSEC-2, mended in none",
        "not known to the index: ours",
    ]


def test_an_index_that_knows_nothing_of_holes_is_told_and_fails_nothing() -> None:
    assert holes.judge(report(UNKNOWN, UNKNOWN), "") == ("not checked: this index knows nothing of holes", 0)


@pytest.mark.parametrize(
    "last",
    [
        "requests.exceptions.ConnectionError: Failed to resolve 'pypi.org'",
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
    ],
)
def test_an_index_that_cannot_be_reached_is_told_and_fails_nothing(last: str) -> None:
    said, status = holes.judge("", f"Traceback (most recent call last):\n{last}\n")
    assert (said, status) == (f"not checked: the index can't be reached ({last})", 0)


def test_any_other_end_without_a_report_fails() -> None:
    said, status = holes.judge(
        "", "requests.exceptions.ConnectionError: first\nERROR: requirements.txt has no hashes"
    )
    assert status == 1
    assert "has no hashes" in said
