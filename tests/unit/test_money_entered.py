"""Sums as operators type them, about to be recorded: what could be two sums is none."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber import money

NBSP, THIN, NARROW = "\u00a0", "\u2009", "\u202f"


@pytest.mark.parametrize(
    ("typed", "qepik"),
    [
        ("500", 50_000),
        ("12,50", 1_250),
        ("12.50", 1_250),
        ("12,5", 1_250),
        ("0,01", 1),
        ("1 000", 100_000),
        (f"1{NBSP}000,50", 100_050),
        (f"12{THIN}500", 1_250_000),
        (f"1{NARROW}234{NARROW}567.89", 123_456_789),
        ("12.50 AZN", 1_250),
        ("12,50azn", 1_250),
        (f"7{NBSP}₼", 700),
        ("7 man.", 700),
        ("7 manat", 700),
        ("  500 ", 50_000),
        ("99999999,99", 9_999_999_999),
    ],
)
def test_sums_are_taken_as_people_write_them(typed: str, qepik: int) -> None:
    assert money.entered(typed) == qepik


@pytest.mark.parametrize(
    "typed",
    [
        *("1.000", "1,000", "1,000.00", "1.000,50", "1'000", "1 00", "10 00", "1  000", "1000 000", "0 500"),
        *("", " ", "0", "0,00", "-5", "−5", "+5", "(5)", "5-", "5.", ",5", ".50", "1.2.3", "1,2,3", "5,,0", "5. 0"),
        *("12,50 USD", "12,50 €", "AZN", "AZN 5", "5 AZN AZN", "5 az", "5\n6", "5\t000", "1e3", "0x5", "NaN", "∞"),
        *("٥", "۵", "५", "５", "½", "5²", "5\0", "5\u200b", "\u202e5", "007", "100000000", "9" * 400),
    ],
)
def test_what_is_no_sum_or_may_be_two_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        money.entered(typed)


@given(st.integers(1, 9_999_999_999))
def test_what_the_pages_write_is_read_back(qepik: int) -> None:
    assert money.entered(money.grouped(qepik)) == qepik
    assert money.entered(money.grouped(qepik).replace(".", ",") + " AZN") == qepik


@given(st.text(max_size=12))
def test_nothing_else_is_raised(typed: str) -> None:
    with suppress(ValueError):
        assert money.entered(typed) > 0
