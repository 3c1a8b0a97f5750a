"""Each private part of a dependency that the client touches or overrides, so that another one is a decision."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from cerber.webhooks import client

# Why it has to be, each:
TOUCHED = {
    # urllib3 has no other hook where a connection is opened; its own looks the name up anew, after any check of ours.
    ("connections", "Connection", "_new_conn"),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(Path(client.__path__[0]).glob("*.py")):
        yield path.stem, ast.parse(path.read_text())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def theirs(module: str, name: str) -> set[str]:
    """The private names in the code of the classes that one of ours inherits from, and in those classes."""
    ours = getattr(importlib.import_module(f"cerber.webhooks.client.{module}"), name)
    bases = [base for base in ours.__mro__ if not base.__module__.startswith("cerber.") and base is not object]
    names = {part for base in bases for part in dir(base)}
    for base in bases:
        try:
            names |= set(re.findall(r"\b_\w+", inspect.getsource(base)))
        except (OSError, TypeError):  # written in C
            continue
    return names


def in_a_class(module: str, node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    inherited = theirs(module, node.name)
    for part in ast.walk(node):
        match part:
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                if is_private(name) and name in inherited:
                    yield module, node.name, name


def of_other_things(module: str, tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """`thing._x` of what is not `self`, `getattr(thing, "_x")`, and `from thing import _x`."""
    for part in ast.walk(tree):
        match part:
            case ast.Attribute(value=ast.Name("self")):
                continue
            case ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                if is_private(name) and name.isidentifier():
                    yield module, "", name


def test_the_private_parts_touched_are_these() -> None:
    found: set[tuple[str, str, str]] = set()
    for module, tree in modules():
        found.update(of_other_things(module, tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.update(in_a_class(module, node))
    assert found == TOUCHED


def test_a_private_part_is_seen_however_it_is_reached() -> None:
    lines = ["sock._sslobj", 'getattr(sock, "_io_refs")', "from ssl import _SSLMethod", "super()._tunnel()"]
    found = {name for line in lines for _, _, name in of_other_things("", ast.parse(line))}
    assert found == {"_sslobj", "_io_refs", "_SSLMethod", "_tunnel"}
    assert {"_new_conn", "_tunnel", "_dns_host", "_send_output", "_buffer"} <= theirs("connections", "Connection")
    assert {"_read_status", "_check_close", "_method"} <= theirs("answers", "Answer")
    assert {"_pool_maxsize"} <= theirs("pools", "Adapter")
