"""The accounts between which money moves, in qəpik. Pure: it knows no database and no payment.

What a payment asks for is put on `expected` and taken off `ordered`; from there it goes to `received`, `cancelled`
or `written_off`, and comes back when a cancel or a transfer is undone. What comes beyond the sum is taken off
`overpaid`. So the six add up to zero: of a payment, of an hour, and of all there is.
"""

from __future__ import annotations

from typing import NamedTuple


class Accounts(NamedTuple):
    """How much lies on each account, or by how much a change moves it. `ordered` and `overpaid` are never above zero
    for a payment: they say where money came from."""

    ordered: int = 0
    expected: int = 0
    received: int = 0
    written_off: int = 0
    cancelled: int = 0
    overpaid: int = 0


NOTHING = Accounts()


def total(one: Accounts, other: Accounts) -> Accounts:
    return Accounts(*(a + b for a, b in zip(one, other, strict=True)))


def change(before: Accounts, after: Accounts) -> Accounts:
    """What moves each account from `before` to `after`."""
    return Accounts(*(b - a for a, b in zip(before, after, strict=True)))
