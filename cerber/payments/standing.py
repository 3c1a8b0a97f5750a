"""Where the sum of a payment stands: the table of contract section 4 as accounts of the ledger. Pure."""

from __future__ import annotations

from cerber.ledger.accounts import Accounts
from cerber.payments.states import Status


def standing(status: Status, payment_sum: int, received: int) -> Accounts:
    """What of the payment's sum is expected, received, written off or cancelled, in qəpik."""
    missing, beyond = max(payment_sum - received, 0), max(received - payment_sum, 0)
    if status is Status.CANCEL:
        return Accounts(ordered=-payment_sum, cancelled=payment_sum)
    if status is Status.ACCEPT:
        return Accounts(ordered=-payment_sum, received=received, written_off=missing, overpaid=-beyond)
    return Accounts(ordered=-payment_sum, received=received, expected=missing, overpaid=-beyond)
