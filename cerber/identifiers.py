"""Ids and other texts as merchants and operators give them (contract section 1)."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 64

# Control, format (bidirectional too), surrogates, and the separators that break a line.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# Blank by other names than white space. Those of Unicode's Default_Ignorable_Code_Point that are not Cf, those that
# it keeps free for more of them, and what fonts draw nothing for.
_WITHOUT_INK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff"
    "\u2800\U0001107f\U00013430-\U00013440\U00016fe4\U0001d159]"
)


def identifier(text: str) -> str:
    """The text, if it is one of 1 to 64 characters. Raises ValueError."""
    if not 1 <= len(plain(text)) <= LONGEST:
        raise ValueError(f"must have 1 to {LONGEST} characters")
    return text


def plain(text: str) -> str:
    """The text, if it has no white space around it and nothing unseen in it. Raises ValueError."""
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    if not (text.isascii() and text.isprintable()):
        _refuse_unseen(text)
    return text


def _refuse_unseen(text: str) -> None:
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        raise ValueError("must not hold control or format characters")
    if _WITHOUT_INK.search(text):
        raise ValueError("must not hold characters that nobody can see")
