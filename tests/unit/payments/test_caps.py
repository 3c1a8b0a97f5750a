"""How much of the gateway a merchant may hold: CERBER_OPEN_PAYMENTS and a merchant's own limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.payments.caps import MANY, Cap, Held, cap

LEFT = 1000_00


@pytest.mark.parametrize(
    ("setting", "own", "left", "alone", "payments", "total"),
    [
        (1000, None, LEFT, False, 1000, 500_00),
        (1000, None, LEFT, True, 1000, None),  # nobody is kept from anything
        (1000, None, None, False, 1000, None),  # a wallet without a limit is never full
        (1000, None, 0, False, 1000, 0),
        (1000, None, 999, False, 1000, 499),
        (1000, 7, LEFT, False, 7, 500_00),
        (1000, 0, LEFT, False, None, None),
        (0, None, LEFT, False, None, None),
        (0, 7, LEFT, False, 7, None),
        (0, 0, LEFT, False, None, None),
    ],
)
def test_which_caps_hold(
    setting: int, own: int | None, left: int | None, alone: bool, payments: int | None, total: int | None
) -> None:
    assert cap(setting, own, left=left, alone=alone) == Cap(payments, total)


@pytest.mark.parametrize(
    ("held", "asked", "refused"),
    [
        (Held(0, 0), 100, None),
        (Held(9, 400), 100, None),
        (Held(10, 400), 1, "10 payments are open, and no more than 10 may be"),
        (Held(11, 400), 1, "11 payments are open, and no more than 10 may be"),
        (Held(9, 401), 100, "add up to 4.01 manat, and with this one no more than 5 may, half of what"),
        (Held(0, 0), 501, "add up to 0 manat, and with this one no more than 5 may"),
    ],
)
def test_a_refusal_names_the_limit_and_the_value(held: Held, asked: int, refused: str | None) -> None:
    told = Cap(10, 500).refusal(held, asked)
    assert (told is None) == (refused is None)
    assert (refused or "") in (told or "")


def test_no_cap_refuses_nothing() -> None:
    assert Cap(None, None).refusal(Held(10**6, 10**12), 10**9) is None
    assert not Cap(None, None).is_nearly_reached(Held(10**6, 10**12))


@pytest.mark.parametrize(
    ("held", "asked", "safe"),
    [
        (Held(100, 0), 1, True),
        (Held(101, 0), 1, False),
        (Held(0, 4_00), 1_00, True),
        (Held(0, 4_01), 1_00, False),
        (Held(0, 0), 1_05, False),
    ],
)
def test_many_at_once_who_see_none_of_each_other_stay_within_it(held: Held, asked: int, safe: bool) -> None:
    assert Cap(200, 208_00).is_safe(held, asked) is safe


@given(cap=st.integers(1, 10**6), sums=st.lists(st.integers(1, 10**4), max_size=MANY), seen=st.integers(0, 10**6))
def test_so_many_that_are_let_in_together_never_get_past_it(cap: int, sums: list[int], seen: int) -> None:
    """Each may have looked earlier, when less was held than the last one saw."""
    of_sums = Cap(None, cap)
    if not of_sums.is_safe(Held(0, seen), 0):
        return
    let_in = [one for one in sums if of_sums.is_safe(Held(0, 0), one)]
    assert seen + sum(let_in) <= cap


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (Held(8, 449), False),
        (Held(9, 0), True),
        (Held(0, 450), True),
        (Held(12, 600), True),
        (Held(0, 0), False),
    ],
)
def test_people_are_told_from_nine_tenths_on(held: Held, told: bool) -> None:
    assert Cap(10, 500).is_nearly_reached(held) is told
    assert Cap(10, 0).is_nearly_reached(Held(0, 0))
