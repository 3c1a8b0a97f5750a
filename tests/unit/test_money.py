"""Sums: what is read and how it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber import money


@pytest.mark.parametrize(
    ("text", "qepik"),
    [
        ("500", 50000),
        ("500.0", 50000),
        ("500.00", 50000),
        ("500.5", 50050),
        ("0.01", 1),
        ("0.1", 10),
        ("0.29", 29),
        ("1.15", 115),
        ("99999999.99", 9999999999),
    ],
)
def test_sums_are_read_exactly(text: str, qepik: int) -> None:
    assert money.parse_sum(text) == qepik


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "0",
            "0.0",
            "0.00",
            "-1",
            "+1",
            "007",
            "00",
            ".5",
            "5.",
            "1.234",
            "100000000",
            "1e3",
            "1,5",
            "1 000",
        ),
        *(" 5", "5 ", "5\n", "5_0", "0x5", "NaN", "Infinity", "٥", "５", "½", "5\0"),
    ],
)
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        money.parse_sum(text)


@pytest.mark.parametrize(
    ("qepik", "text"),
    [(0, "0"), (1, "0.01"), (10, "0.10"), (50000, "500"), (50050, "500.50"), (9999999999, "99999999.99")],
)
def test_sums_as_webhooks_write_them(qepik: int, text: str) -> None:
    assert money.text(qepik) == text


@pytest.mark.parametrize(
    ("qepik", "text"),
    [(0, "0.00"), (99999, "999.99"), (123450, "1\u00a0234.50"), (123456789, "1\u00a0234\u00a0567.89")],
)
def test_sums_as_people_read_them(qepik: int, text: str) -> None:
    assert money.grouped(qepik) == text


@pytest.mark.parametrize(("qepik", "text"), [(50000, "+500"), (-1, "-0.01"), (-50050, "-500.50"), (0, "+0")])
def test_differences_carry_their_sign(qepik: int, text: str) -> None:
    assert money.signed(qepik) == text


@given(st.integers(1, 9999999999))
def test_what_is_written_is_read_back(qepik: int) -> None:
    assert money.parse_sum(money.text(qepik)) == qepik


@pytest.mark.parametrize(
    ("typed", "qepik"),
    [
        ("12.50", 1250),
        ("12,50", 1250),
        ("12,5", 1250),
        ("1000", 100000),
        ("1 000", 100000),
        ("1\u00a0234.50", 123450),
        ("1.000", 100000),
        ("1,000", 100000),
        ("1.000,50", 100050),
        ("1,000.50", 100050),
        ("1 000 000,01", 100000001),
        (" 7 ", 700),
        ("007", 700),
        ("50 AZN", 5000),
        ("50₼", 5000),
        ("50,5 manat", 5050),
    ],
)
def test_sums_as_people_type_them(typed: str, qepik: int) -> None:
    assert money.read_typed(typed) == qepik


@pytest.mark.parametrize(
    "typed",
    ["", "0", "0,00", "abc", "1 00", "1,2,3", "12,50,1", "-5", "٣", "100000000", "5 €", "9" * 400, "1 " * 400],
)
def test_what_nobody_would_take_for_a_sum_is_none(typed: str) -> None:
    assert money.read_typed(typed) is None


@given(st.integers(1, 9999999999))
def test_sums_as_our_pages_write_them_can_be_typed_back(qepik: int) -> None:
    assert money.read_typed(money.grouped(qepik)) == qepik
