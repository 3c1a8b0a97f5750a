"""What a webhook tells, which of a merchant's secrets signs it, and how far it is (contract sections 2 and 5)."""

from __future__ import annotations

from enum import StrEnum

from cerber.signing import SecretKind


class WebhookState(StrEnum):
    """How far the delivery of a webhook is. The last is also called exhausted, or a dead letter."""

    DUE = "due"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class Kind(StrEnum):
    """What a webhook tells."""

    ACCEPT = "accept"
    CANCEL = "cancel"
    CHANGE_SUM = "change_sum"
    BALANCE = "balance"

    @property
    def signed_with(self) -> SecretKind:
        return SecretKind.BALANCE if self is Kind.BALANCE else SecretKind.PAYMENT
