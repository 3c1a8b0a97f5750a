"""Payers' wallets in one spelling: `+994 55 123 45 67`, `055 123 45 67` and `994551234567` are one number."""

from __future__ import annotations

import re

_NUMBER = re.compile("[0-9+(). \u00a0/-]+")
_NATIONAL = 9  # digits of a number within Azerbaijan, without what is dialled before it
_DIALLED = ("", "0", "994", "00994", "9940", "009940")


def digits(wallet: str) -> str | None:
    """The digits of a wallet that is a number, of a national one without what is dialled before it. Else None."""
    found = _digits(wallet)
    if found and found[:-_NATIONAL] in _DIALLED:
        return found[-_NATIONAL:]
    return found


def prefixes(typed: str) -> list[str]:
    """What `digits` of a wallet may begin with, where somebody typed how it begins, in whatever spelling."""
    found = _digits(typed)
    if not found:
        return []
    rests = (found.removeprefix(dialled) for dialled in _DIALLED if found.startswith(dialled))
    return sorted({rest for rest in rests if rest})


def _digits(text: str) -> str | None:
    return re.sub(r"[^0-9]", "", text) or None if _NUMBER.fullmatch(text) else None
