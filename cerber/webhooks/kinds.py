"""What a webhook tells, and which of a merchant's secrets signs it (contract sections 2 and 5)."""

from __future__ import annotations

from enum import StrEnum

from cerber.signing import SecretKind


class Kind(StrEnum):
    """What a webhook tells."""

    ACCEPT = "accept"
    CANCEL = "cancel"
    CHANGE_SUM = "change_sum"
    BALANCE = "balance"

    @property
    def signed_with(self) -> SecretKind:
        return SecretKind.BALANCE if self is Kind.BALANCE else SecretKind.PAYMENT
