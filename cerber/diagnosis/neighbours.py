"""What merchants take from each other: full wallets, those who hold much, payments that wait for a person."""

from __future__ import annotations

from cerber import money
from cerber.payments.pressure import Holder, Pressure

ENOUGH_ABLE = 5  # of so many active wallets one should be able to take a payment
NAMED = 5  # merchants in one line


def told(pressed: Pressure) -> dict[str, tuple[bool, str]]:
    """By what is looked at: whether it is well, and a message for people."""
    return {"wallets": _wallets(pressed), "merchants": _merchants(pressed), "decisions": _decisions(pressed)}


def _wallets(pressed: Pressure) -> tuple[bool, str]:
    if not pressed.wallets:
        return False, "none is active: `flask wallet add NUMBER LINK`"
    if ENOUGH_ABLE * pressed.able < pressed.wallets:
        return (
            False,
            f"{pressed.able} of {pressed.wallets} active can take a payment: add some, or raise their limits",
        )
    return True, f"{pressed.wallets} active, {pressed.able} can take a payment"


def _merchants(pressed: Pressure) -> tuple[bool, str]:
    """Who is near the cap or above it, and so about to be refused; or was let in before the cap was lowered."""
    if not pressed.pressing:
        return True, "none is near its cap of open payments"
    named = ", ".join(_holder(one) for one in pressed.pressing[:NAMED])
    more = f" and {len(pressed.pressing) - NAMED} others" if len(pressed.pressing) > NAMED else ""
    do = "decide on payments, or see `flask merchant cancel-open --help`"
    return False, f"{named}{more} near the cap or above it: {do}"


def _holder(one: Holder) -> str:
    of = "any number" if one.cap.payments is None else one.cap.payments
    sums = "" if one.cap.sum is None else f", {money.text(one.held.sum)} of {money.text(one.cap.sum)} manat"
    return f"{one.merch_id} ({one.held.payments} of {of} open{sums})"


def _decisions(pressed: Pressure) -> tuple[bool, str]:
    if not pressed.stuck:
        return True, "no confirming payment has waited for 24 h"
    oldest = f"the oldest is /payments/{pressed.longest_stuck}"
    return (
        False,
        f"{pressed.stuck} confirming payments were touched by nobody for 24 h, {oldest}: accept or cancel them",
    )
