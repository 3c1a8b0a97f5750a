"""Where a payment's sum stands on the accounts, by the table of contract section 4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.ledger.accounts import Accounts, change, total
from cerber.payments.standing import standing
from cerber.payments.states import Status

statuses = st.sampled_from(Status)
sums = st.integers(1, 10**10)
received = st.integers(0, 10**10)


@pytest.mark.parametrize(
    ("status", "received", "stands"),
    [
        (Status.PENDING, 0, Accounts(ordered=-500, expected=500)),
        (Status.CONFIRMING, 0, Accounts(ordered=-500, expected=500)),
        (Status.CONFIRMING, 200, Accounts(ordered=-500, expected=300, received=200)),
        (Status.ACCEPT, 500, Accounts(ordered=-500, received=500)),
        (Status.ACCEPT, 200, Accounts(ordered=-500, received=200, written_off=300)),
        (Status.ACCEPT, 700, Accounts(ordered=-500, received=700, overpaid=-200)),
        (Status.CANCEL, 0, Accounts(ordered=-500, cancelled=500)),
    ],
)
def test_each_row_of_the_table(status: Status, received: int, stands: Accounts) -> None:
    assert standing(status, 500, received) == stands


@given(statuses, sums, received)
def test_the_accounts_add_up_to_zero(status: Status, payment_sum: int, received: int) -> None:
    assert sum(standing(status, payment_sum, received)) == 0


@given(st.lists(st.tuples(statuses, received), min_size=1), sums)
def test_the_entries_of_a_payment_add_up_to_where_it_stands(
    steps: list[tuple[Status, int]], payment_sum: int
) -> None:
    stood, entered = Accounts(), Accounts()
    for status, came in steps:
        stands = standing(status, payment_sum, came)
        entered, stood = total(entered, change(stood, stands)), stands
    assert entered == stood
