"""What can go wrong by the rules of the house, each named after the broken rule.

No HTTP here: the ways in (bot_api, dashboard, cli) decide how an error looks outside. `code` is the stable
name of contract section 4, for what a merchant can meet; `payment_status` tells what the payment now is, where a
payment is concerned.
"""

from __future__ import annotations

from math import ceil


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


CHANGED = "This payment has changed since the page was shown. Look again."


class VersionChanged(CerberError):
    """The payment changed since the page was shown."""


class TimeIsUp(CerberError):
    """The payment's time-to-live has run out, and nobody has expired it yet."""


class NotPossible(CerberError):
    """The payment's state refuses what the operator asked for."""


class ReferenceUsed(CerberError):
    """This wallet already has a transfer with this reference."""


class ReferenceNeeded(CerberError):
    """The transfer might be for another payment: only the number of its operation tells."""


class NotFound(CerberError):
    """There is no such merchant, wallet, operator, transfer or webhook."""

    code = "not_found"


class AlreadyExists(CerberError):
    """The name or number is taken."""


class InvalidOperator(CerberError):
    """The name, the password or the role is not one we take."""


class WrongLogin(CerberError):
    """Name, password and code don't belong together. Never says which of them is wrong."""


class TooManyLogins(CerberError):
    """Too many failed log-ins of this name, from this address, or of all strangers. `seconds`: how long to wait."""

    def __init__(self, seconds: int, message: str = "Too many failed log-ins.") -> None:
        number, unit = (seconds, "second") if seconds < 60 else (ceil(seconds / 60), "minute")
        super().__init__(f"{message} Try again in {number} {unit}{'s' if number > 1 else ''}.")
        self.seconds = seconds


class LoginBusy(TooManyLogins):
    """The one password that may be looked at now is somebody else's."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds, "Somebody else is logging in at this moment.")


class TooManyRequests(CerberError):
    """A limit on how often somebody asks, or on what a merchant holds, is reached. `seconds`: how long to wait."""

    code = "too_many_requests"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotRestored(CerberError):
    """A backup can't be written, read or put back, or a copy not be made, as things are."""


class Unavailable(CerberError):
    """The database is locked or away. Safe to repeat."""

    code = "unavailable"


class Overtaken(Unavailable):
    """Another transaction was faster, and this one has to begin afresh: it runs again by itself, a few times."""
