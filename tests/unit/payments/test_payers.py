"""A payer's number is one number, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.payments import payers

NUMBER = "551234567"
SPELLINGS = (  # n: a digit of the number within the country
    "nnnnnnnnn",
    "0nnnnnnnnn",
    "994nnnnnnnnn",
    "+994nnnnnnnnn",
    "00994nnnnnnnnn",
    "+994 nn nnn nn nn",
    "0nn nnn nn nn",
    "(0nn) nnn-nn-nn",
    "+994 (0)nn nnn.nn.nn",
    "994/nn/nnnnnnn",
)


def spelled(number: str, spelling: str) -> str:
    digits = iter(number)
    return "".join(next(digits) if mark == "n" else mark for mark in spelling)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_of_a_number_is_that_number(spelling: str) -> None:
    assert payers.digits(spelled(NUMBER, spelling)) == NUMBER


@pytest.mark.parametrize(
    ("wallet", "digits"),
    [
        ("4169 7388 0000 1111", "4169738800001111"),
        ("12345", "12345"),
        ("099", "099"),
        ("alice@m10", None),
        ("id 55", None),
        ("--", None),
        ("٥٥١٢٣٤٥٦٧", None),
        ("", None),
    ],
)
def test_what_is_no_such_number_keeps_its_digits_or_has_none(wallet: str, digits: str | None) -> None:
    assert payers.digits(wallet) == digits


@pytest.mark.parametrize("typed", ["+994 55", "055", "994 55", "0099455", "+994\u00a055", "55"])
def test_the_beginning_of_any_spelling_leads_to_the_number(typed: str) -> None:
    assert "55" in payers.prefixes(typed)


@pytest.mark.parametrize("typed", ["", "+", "alice", "99477%", "_994", "ORD-55"])
def test_what_is_no_number_leads_nowhere(typed: str) -> None:
    assert payers.prefixes(typed) == []


@given(st.from_regex(r"[1-9][0-9]{8}", fullmatch=True), st.sampled_from(SPELLINGS), st.integers(1, 12))
def test_whatever_part_of_a_number_is_typed_finds_it(number: str, spelling: str, typed: int) -> None:
    wallet = spelled(number, spelling)
    beginning = wallet[: spelling.index("n") + typed]
    assert payers.digits(wallet) == number
    assert any(number.startswith(prefix) for prefix in payers.prefixes(beginning))
