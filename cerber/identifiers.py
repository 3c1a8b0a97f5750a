"""Ids and other texts as merchants and operators give them (contract section 1), and as people get to see them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

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


def visible(text: str, keep: str = "") -> str:
    """The text with all written out that nobody would see, or that would move what stands beside it: `⟨U+202E⟩`,
    `⟨U+001B⟩`. What is in `keep` stays."""
    return text if text.isprintable() and text.isascii() else _written_out(text, "⟨U+{:04X}⟩".format, keep)


def escaped_json(text: str) -> str:
    """JSON that says the same, with all that written out in JSON's own way."""
    return text if text.isprintable() and text.isascii() else _written_out(text, _json_escape)


def _written_out(text: str, write: Callable[[int], str], keep: str = "") -> str:
    return "".join(
        write(ord(character)) if _is_unseen(character) and character not in keep else character for character in text
    )


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or bool(_WITHOUT_INK.match(character))


def _json_escape(code: int) -> str:
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
