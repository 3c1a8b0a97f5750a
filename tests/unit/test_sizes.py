"""Nothing grows too long to be read at once: a function has 30 lines at most, a file 250, one of tests 500."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from cerber.config import ROOT

FUNCTION = 30
FILE, TEST_FILE = 250, 500
# Those that are longer still, and are to leave this list: one that has shrunk may not stay in it.
EXCEPTIONS: set[str] = set()


def test_no_file_and_no_function_is_too_long() -> None:
    found = {name: offender for file in files() for name, offender in too_long(file)}
    long = "\n".join(offender for name, offender in found.items() if name not in EXCEPTIONS)
    assert not long, f"too long:\n{long}"
    assert not EXCEPTIONS - set(found), "these are short enough now: take them from EXCEPTIONS"


def files() -> Iterator[Path]:
    yield ROOT / "wsgi.py"
    for folder in ("cerber", "script", "tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def too_long(file: Path) -> Iterator[tuple[str, str]]:
    """The file and its functions that are: the name of each, and what is wrong with it."""
    text, path = file.read_text(), file.relative_to(ROOT)
    lines = len(text.splitlines())
    if lines > (TEST_FILE if path.parts[0] == "tests" else FILE):
        yield f"{path}", f"{path}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION:
                yield f"{path} {node.name}", f"{path}:{node.lineno} {node.name}: {lines} lines"
