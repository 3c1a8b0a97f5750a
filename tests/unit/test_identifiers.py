"""Which texts are ids, and what would fool an operator's eye in one (contract section 1)."""

from __future__ import annotations

import unicodedata

import pytest

from cerber.identifiers import identifier, plain

WITHOUT_INK = {
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "braille blank": "\u2800",
    "joiners and inherent vowels": "\u034f\u17b4\u17b5\U0001107f",
    "variation selectors": "\u180b\u180c\u180d\u180f\ufe00\ufe0f\U000e0100\U000e01ef",
    "a null notehead and a Khitan filler": "\U0001d159\U00016fe4",
    "unassigned, but ignored by definition": "\u2065\ufff0\ufff8\U000e0000\U000e0fff",
    "line and paragraph separators": "\u2028\u2029",
    "format characters": "\u00ad\u061c\u180e\u200b\u200d\u200e\u202e\u2060\u2066\ufeff\U0001d173\U000e0001",
}


@pytest.mark.parametrize("character", "".join(WITHOUT_INK.values()), ids=lambda c: f"U+{ord(c):04X}")
def test_a_character_without_ink_is_refused_wherever_it_stands(character: str) -> None:
    for text in (f"a{character}b", f"{character}a", f"a{character}", character):
        with pytest.raises(ValueError, match="must not"):
            identifier(text)


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs"])
def test_every_control_format_and_surrogate_character_is_refused(category: str) -> None:
    found = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == category]
    assert len(found) > 50
    for character in found:
        with pytest.raises(ValueError, match="must not"):
            plain(f"a{character}b")


@pytest.mark.parametrize(
    "text",
    ["1", "x" * 64, "sifariş-№7", "Əli Məmmədov", "заказ 7", "注文", "한글", "e\u0301", "a\u00a0b", "👍", "\u2801"],
)
def test_what_people_write_is_taken_as_it_is(text: str) -> None:
    assert identifier(text) == text
