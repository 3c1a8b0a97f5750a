"""What can go wrong by the rules of the house, each named after the broken rule.

No HTTP here: the ways in (bot_api, dashboard, cli) decide how an error looks outside. `code` is the stable
name of contract section 4; `payment_status` tells what the payment now is, where a payment is concerned.
"""

from __future__ import annotations


class CerberError(Exception):
    """A rule was broken. The message is for people and says what to do; it holds no secret."""

    code = "invalid"

    def __init__(self, message: str, payment_status: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.payment_status = payment_status


class WrongSignature(CerberError):
    """No merchant that may ask signed this request."""

    code = "unauthorized"


class PaymentNotFound(CerberError):
    """The merchant who signed has no payment of this id."""

    code = "not_found"


class PaymentIdReused(CerberError):
    """The id is taken by a payment with other data."""

    code = "payment_id_reused"


class PaymentClosed(CerberError):
    """The payment is decided, and this can't change it any more."""

    code = "payment_closed"


class MoneyReceived(CerberError):
    """The payer's money has come: a merchant's cancel is too late."""

    code = "money_received"


class WebhookBodySent(CerberError):
    """One of our own webhook bodies came back as a request."""

    code = "webhook_body"


class NoWalletAvailable(CerberError):
    """No wallet can take this payment now."""

    code = "no_wallet_available"


class VersionChanged(CerberError):
    """The payment changed since the page was shown."""

    code = "version_changed"


class NotPossible(CerberError):
    """The payment's state refuses what the operator asked for."""

    code = "not_possible"


class ReferenceUsed(CerberError):
    """This wallet already has a transfer with this reference."""

    code = "reference_used"


class NotFound(CerberError):
    """There is no such merchant, wallet, operator, transfer or webhook."""

    code = "not_found"


class AlreadyExists(CerberError):
    """The name or number is taken."""

    code = "already_exists"


class Unavailable(CerberError):
    """The database is locked or away. Safe to repeat."""

    code = "unavailable"
