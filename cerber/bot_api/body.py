"""What a merchant sent, as fields: JSON, form or query, told apart as contract section 1 says.

Nothing is judged here but the form. Keys given twice are noted and not refused yet: who signed comes first.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

LARGEST = 16 * 1024

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class NotJson(Exception):
    """The body can't be read."""


class NotAnObject(Exception):
    """The body is JSON, but no object."""


class Integer(str):
    """A JSON integer, by its digits."""

    __slots__ = ()


class Fraction(str):
    """Any other JSON number, by its literal text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields, and the keys that came twice, at whatever depth."""

    values: dict[str, object]
    repeated: tuple[str, ...]


def read(body: bytes, content_type: str, query: bytes, *, from_query: bool) -> Fields:
    """The fields of a request. `from_query`: without a body they are taken from the query string.

    Raises NotJson and NotAnObject.
    """
    if not body and from_query:
        return _form(query)
    if body.lstrip(b" \t\r\n")[:1] not in (b"{", b"[") and content_type == "application/x-www-form-urlencoded":
        return _form(body)
    return _json(body)


def _form(encoded: bytes) -> Fields:
    try:
        text = encoded.decode("utf-8")
        if _BROKEN_ESCAPE.search(text):
            raise NotJson
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise NotJson from None
    return Fields(dict(pairs), tuple(_twice(pairs)))


def _json(body: bytes) -> Fields:
    repeated: list[str] = []

    def to_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        repeated.extend(_twice(pairs))
        return dict(pairs)

    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=to_object,
            parse_int=Integer,
            parse_float=Fraction,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        raise NotJson from None
    if not isinstance(value, dict):
        raise NotAnObject
    return Fields(value, tuple(repeated))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _twice(pairs: Sequence[tuple[str, object]]) -> list[str]:
    counts = Counter(key for key, _ in pairs)
    return [key for key, count in counts.items() if count > 1]
