"""The life of a payment: the table of contract section 3, as a table.

`decide` takes what is known of a payment and what happens to it, and says what it becomes and which webhook goes
out, or raises the error that names the broken rule. It knows no database, no clock and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cerber.errors import MoneyReceived, NotPossible, PaymentClosed
from cerber.webhooks.kinds import Kind


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMING = "confirming"
    ACCEPT = "accept"
    CANCEL = "cancel"


OPEN = (Status.PENDING, Status.CONFIRMING)


class Cause(StrEnum):
    """Who or what cancelled a payment."""

    MERCHANT = "merchant"
    OPERATOR = "operator"
    EXPIRED = "expired"


class Event(StrEnum):
    """The rows of the table."""

    MERCHANT_ACCEPT = "merchant_accept"
    MERCHANT_CANCEL = "merchant_cancel"
    TRANSFER = "transfer"
    OPERATOR_ACCEPT = "operator_accept"
    SETTLE = "settle"
    OPERATOR_CANCEL = "operator_cancel"
    VOID = "void"
    EXPIRE = "expire"


BY_OPERATOR = (Event.TRANSFER, Event.OPERATOR_ACCEPT, Event.SETTLE, Event.OPERATOR_CANCEL, Event.VOID)


RECORD_MONEY = (Event.TRANSFER, Event.OPERATOR_ACCEPT)
ASK_FOR_TRANSFERS = (Event.MERCHANT_ACCEPT, Event.MERCHANT_CANCEL)  # whether any was ever recorded, voided or not


REVIVAL_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules need to know of a payment. Sums in qəpik.

    `cancel_cause` on a confirming payment means that late money revived it from that cancel.
    """

    status: Status
    sum: int
    received: int = 0
    cancel_cause: Cause | None = None
    ever_received: bool = False
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What the payment becomes. `transfer` is the sum to record, in qəpik, where one is recorded."""

    status: Status
    received: int
    cancel_cause: Cause | None
    webhook: Kind | None = None
    transfer: int | None = None


def decide(event: Event, payment: Facts, now: datetime, amount: int = 0) -> Step:
    """The step that `event` makes; `amount` in qəpik is the transfer recorded or voided.

    Raises PaymentClosed and MoneyReceived (the merchant asks too late) and NotPossible (an operator may not).
    """
    return TABLE[event][payment.status](payment, now, amount)


def possible(payment: Facts, now: datetime) -> set[Event]:
    """What an operator may do now: all that `decide` doesn't refuse."""

    def allowed(event: Event) -> bool:
        try:
            decide(event, payment, now)
        except NotPossible:
            return False
        return True

    return {event for event in BY_OPERATOR if allowed(event)}


def is_seen(event: Event, seen: int, *, version: int, paid_version: int | None) -> bool:
    """Whether who saw the version `seen` of a payment has seen all that matters to what they decide.

    `paid_version` is the one that the merchant's own accept made: it changed no money, so money may be recorded over
    it.
    """
    return seen == version or (event in RECORD_MONEY and seen == version - 1 and version == paid_version)


def is_due(status: Status, due_at: datetime | None, now: datetime) -> bool:
    """Whether the time-to-live of an unpaid payment has run out. In SQL it is `Payment.due`."""
    return status is Status.PENDING and due_at is not None and due_at <= now


Rule = Callable[[Facts, datetime, int], Step]


def _keep(payment: Facts, now: datetime, amount: int) -> Step:
    return Step(payment.status, payment.received, payment.cancel_cause)


def _refuse(reason: str) -> Rule:
    def rule(payment: Facts, now: datetime, amount: int) -> Step:
        raise NotPossible(reason, payment.status)

    return rule


def _closed(payment: Facts, now: datetime, amount: int) -> Step:
    raise PaymentClosed("This payment is closed and can't be changed any more.", payment.status)


def _start_confirming(payment: Facts, now: datetime, amount: int) -> Step:
    return Step(Status.CONFIRMING, payment.received, None)


def _revive(payment: Facts, now: datetime, amount: int) -> Step:
    """Never once money was recorded, voided or not: else a request that is replayed could reopen the payment."""
    expired = payment.cancel_cause is Cause.EXPIRED and payment.due_at is not None
    if not expired or payment.ever_received or now - payment.due_at >= REVIVAL_WINDOW:  # type: ignore[operator]
        return _closed(payment, now, amount)
    return _start_confirming(payment, now, amount)


def _cancel_by(cause: Cause) -> Rule:
    def rule(payment: Facts, now: datetime, amount: int) -> Step:
        return Step(Status.CANCEL, payment.received, cause, Kind.CANCEL)

    return rule


def _merchant_takes_back(payment: Facts, now: datetime, amount: int) -> Step:
    if payment.ever_received:
        raise MoneyReceived("Money has arrived for this payment; it can't be cancelled any more.", payment.status)
    return _cancel_by(Cause.MERCHANT)(payment, now, amount)


def _merchant_owns_cancel(payment: Facts, now: datetime, amount: int) -> Step:
    expired = payment.cancel_cause is Cause.EXPIRED
    return Step(Status.CANCEL, payment.received, Cause.MERCHANT if expired else payment.cancel_cause)


def _record(payment: Facts, now: datetime, amount: int) -> Step:
    received = payment.received + amount
    if received >= payment.sum:
        return Step(Status.ACCEPT, received, payment.cancel_cause, Kind.ACCEPT, transfer=amount)
    return Step(Status.CONFIRMING, received, payment.cancel_cause, Kind.CHANGE_SUM, transfer=amount)


def _accept(payment: Facts, now: datetime, amount: int) -> Step:
    return _record(payment, now, payment.sum - payment.received)


def _settle(payment: Facts, now: datetime, amount: int) -> Step:
    if payment.received == 0:
        raise NotPossible(
            "Nothing has come yet, so there is nothing to settle at. Cancel it instead.", payment.status
        )
    return Step(Status.ACCEPT, payment.received, payment.cancel_cause, Kind.ACCEPT)


def _operator_cancels(payment: Facts, now: datetime, amount: int) -> Step:
    if payment.received > 0:
        raise NotPossible("Money has come for this payment. Settle it at what came instead.", payment.status)
    return _cancel_by(Cause.OPERATOR)(payment, now, amount)


def _void(payment: Facts, now: datetime, amount: int) -> Step:
    left = replace(payment, received=payment.received - amount)
    if left.received == 0 and left.cancel_cause is not None:  # nothing is left of late money
        return Step(Status.CANCEL, 0, left.cancel_cause, Kind.CANCEL)
    return Step(Status.CONFIRMING, left.received, left.cancel_cause, Kind.CHANGE_SUM)


_accepted = _refuse("This payment is accepted already.")
_cancelled = _refuse("This payment is cancelled already.")
_nothing_came = _refuse("No money has come for this payment.")

TABLE: dict[Event, dict[Status, Rule]] = {
    event: dict(zip(Status, rules, strict=True))
    for event, rules in {
        # event                  pending                    confirming            accept      cancel
        Event.MERCHANT_ACCEPT: (_start_confirming, _keep, _keep, _revive),
        Event.MERCHANT_CANCEL: (
            _cancel_by(Cause.MERCHANT),
            _merchant_takes_back,
            _closed,
            _merchant_owns_cancel,
        ),
        Event.TRANSFER: (_record, _record, _accepted, _record),
        Event.OPERATOR_ACCEPT: (_accept, _accept, _accepted, _accept),
        Event.SETTLE: (_nothing_came, _settle, _accepted, _cancelled),
        Event.OPERATOR_CANCEL: (_cancel_by(Cause.OPERATOR), _operator_cancels, _accepted, _cancelled),
        Event.VOID: (_nothing_came, _void, _accepted, _cancelled),
        Event.EXPIRE: (_cancel_by(Cause.EXPIRED), _keep, _keep, _keep),
    }.items()
}
