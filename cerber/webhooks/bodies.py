"""Bodies to the byte: what answers and webhooks have in common (contract sections 4 and 5)."""

from __future__ import annotations

import json
import re

from cerber import money
from cerber.webhooks.kinds import Kind

LARGEST_NUMBER = 2**53 - 1  # what every JSON reader holds exactly

_CANONICAL = re.compile(r"0|[1-9][0-9]{0,15}")


def payment_number(payment_id: str) -> int | str:
    """The id as answers show it: a number where it is a canonical one up to 2^53 - 1, else the text itself."""
    if _CANONICAL.fullmatch(payment_id) and int(payment_id) <= LARGEST_NUMBER:
        return int(payment_id)
    return payment_id


def webhook_body(kind: Kind, payment_id: str, received: int, payment_sum: int) -> str:
    """The body of a webhook about a payment, as published: its key order, ASCII. Sums in qəpik."""
    if kind is Kind.ACCEPT:
        return json.dumps({"status": "confirm", "payment_id": payment_id, "confirm_sum": money.text(received)})
    if kind is Kind.CANCEL:
        return json.dumps({"status": "cancel", "payment_id": payment_id, "confirm_sum": "0"})
    return json.dumps(
        {
            "payment_id": payment_number(payment_id),
            "confirm_sum": money.text(received),
            "payment_sum": money.text(payment_sum),
        }
    )


def balance_body(canceled: int, confirmed: int, pending: int) -> str:
    """The body of a balance, in answer and webhook. Sums in qəpik; written as exact JSON numbers."""
    sums = (money.text(canceled), money.text(confirmed), money.text(pending))
    return '{{"canceled_sum": {}, "confirm_sum": {}, "pending_sum": {}}}'.format(*sums)
