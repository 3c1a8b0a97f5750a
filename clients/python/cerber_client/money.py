"""Sums are decimal texts in manat, `12.50`, and never floats. To calculate, take qəpik: whole numbers."""

from __future__ import annotations

import re

_SUM = re.compile(r"([0-9]+)(?:\.([0-9]{1,2}))?", re.ASCII)


def qepik(text: str) -> int:
    """A sum in qəpik: `"12.5"` is 1250, so that `500` and `500.00` compare as equal. Raises ValueError."""
    match = _SUM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no sum such as 12.50")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def manat(amount: int) -> str:
    """So many qəpik as the gateway writes a sum: `500`, or `500.50`."""
    whole, rest = divmod(amount, 100)
    return f"{whole}.{rest:02}" if rest else str(whole)
