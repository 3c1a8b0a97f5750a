"""Ids and other texts as merchants and operators give them (contract section 1)."""

from __future__ import annotations

import unicodedata

LONGEST = 64

_UNSEEN = {"Cc", "Cf", "Cs"}  # control, format (bidirectional too) and surrogates: they fool an operator's eye


def identifier(text: str) -> str:
    """The text, if it is one of 1 to 64 characters. Raises ValueError."""
    if not 1 <= len(plain(text)) <= LONGEST:
        raise ValueError(f"must have 1 to {LONGEST} characters")
    return text


def plain(text: str) -> str:
    """The text, if it has no white space around it and nothing unseen in it. Raises ValueError."""
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        raise ValueError("must not hold control or format characters")
    return text
