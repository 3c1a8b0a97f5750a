"""Contract section 3's table, row by row: every event in every status."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cerber.errors import CerberError, MoneyReceived, NotPossible, PaymentClosed
from cerber.payments.states import BY_OPERATOR as EVENTS_OF_OPERATORS
from cerber.payments.states import Cause, Event, Facts, Status, Step, decide, is_due, is_seen, possible
from cerber.webhooks.kinds import Kind

PENDING, CONFIRMING, ACCEPT, CANCEL = Status
MERCHANT, OPERATOR, EXPIRED = Cause
DUE = datetime(2026, 11, 24, 10, tzinfo=UTC)
SOON = DUE - timedelta(minutes=1)
DAY = timedelta(hours=24)
MOMENT = timedelta(microseconds=1)
SUM = 500_00


def was(status: Status, received: int = 0, cause: Cause | None = None, *, ever: bool | None = None) -> Facts:
    return Facts(status, SUM, received, cause, received > 0 if ever is None else ever, DUE)


def becomes(
    status: Status,
    received: int = 0,
    cause: Cause | None = None,
    webhook: Kind | None = None,
    transfer: int | None = None,
) -> Step:
    return Step(status, received, cause, webhook, transfer)


def confirm(received: int, transfer: int | None, cause: Cause | None = None) -> Step:
    return becomes(ACCEPT, received, cause, Kind.ACCEPT, transfer)


def change(received: int, transfer: int | None, cause: Cause | None = None) -> Step:
    return becomes(CONFIRMING, received, cause, Kind.CHANGE_SUM, transfer)


def cancelled(cause: Cause) -> Step:
    return becomes(CANCEL, 0, cause, Kind.CANCEL)


EMPTY, SOME, VOIDED = was(CONFIRMING), was(CONFIRMING, 200_00), was(CONFIRMING, 0, ever=True)
LATE = was(CONFIRMING, 200_00, EXPIRED)
DONE = was(ACCEPT, SUM)
BY_MERCHANT, BY_OPERATOR, BY_CLOCK = was(CANCEL, 0, MERCHANT), was(CANCEL, 0, OPERATOR), was(CANCEL, 0, EXPIRED)
BACK_AGAIN = was(CANCEL, 0, EXPIRED, ever=True)

Row = tuple[Event, Facts, int, datetime, Step | type[CerberError]]

ROWS: list[Row] = [
    (Event.MERCHANT_ACCEPT, was(PENDING), 0, SOON, becomes(CONFIRMING)),
    (Event.MERCHANT_ACCEPT, EMPTY, 0, SOON, becomes(CONFIRMING)),
    (Event.MERCHANT_ACCEPT, SOME, 0, SOON, becomes(CONFIRMING, 200_00)),
    (Event.MERCHANT_ACCEPT, LATE, 0, DUE + DAY, becomes(CONFIRMING, 200_00, EXPIRED)),
    (Event.MERCHANT_ACCEPT, DONE, 0, SOON, becomes(ACCEPT, SUM)),
    (Event.MERCHANT_ACCEPT, BY_CLOCK, 0, DUE, becomes(CONFIRMING)),
    (Event.MERCHANT_ACCEPT, BY_CLOCK, 0, DUE + DAY - MOMENT, becomes(CONFIRMING)),
    (Event.MERCHANT_ACCEPT, BY_CLOCK, 0, DUE + DAY, PaymentClosed),
    (Event.MERCHANT_ACCEPT, BACK_AGAIN, 0, DUE + timedelta(hours=1), PaymentClosed),
    (Event.MERCHANT_ACCEPT, BY_MERCHANT, 0, SOON, PaymentClosed),
    (Event.MERCHANT_ACCEPT, BY_OPERATOR, 0, SOON, PaymentClosed),
    (Event.MERCHANT_CANCEL, was(PENDING), 0, SOON, cancelled(MERCHANT)),
    (Event.MERCHANT_CANCEL, EMPTY, 0, SOON, cancelled(MERCHANT)),
    (Event.MERCHANT_CANCEL, SOME, 0, SOON, MoneyReceived),
    (Event.MERCHANT_CANCEL, VOIDED, 0, SOON, MoneyReceived),
    (Event.MERCHANT_CANCEL, LATE, 0, DUE, MoneyReceived),
    (Event.MERCHANT_CANCEL, DONE, 0, SOON, PaymentClosed),
    (Event.MERCHANT_CANCEL, BY_MERCHANT, 0, SOON, becomes(CANCEL, 0, MERCHANT)),
    (Event.MERCHANT_CANCEL, BY_OPERATOR, 0, SOON, becomes(CANCEL, 0, OPERATOR)),
    (Event.MERCHANT_CANCEL, BY_CLOCK, 0, DUE, becomes(CANCEL, 0, MERCHANT)),
    (Event.TRANSFER, was(PENDING), 200_00, SOON, change(200_00, 200_00)),
    (Event.TRANSFER, was(PENDING), SUM - 1, SOON, change(SUM - 1, SUM - 1)),
    (Event.TRANSFER, was(PENDING), SUM, SOON, confirm(SUM, SUM)),
    (Event.TRANSFER, was(PENDING), SUM + 1, SOON, confirm(SUM + 1, SUM + 1)),
    (Event.TRANSFER, EMPTY, 200_00, SOON, change(200_00, 200_00)),
    (Event.TRANSFER, SOME, 100_00, SOON, change(300_00, 100_00)),
    (Event.TRANSFER, SOME, 300_00, SOON, confirm(SUM, 300_00)),
    (Event.TRANSFER, SOME, 400_00, SOON, confirm(600_00, 400_00)),
    (Event.TRANSFER, LATE, 100_00, DUE, change(300_00, 100_00, EXPIRED)),
    (Event.TRANSFER, LATE, 300_00, DUE, confirm(SUM, 300_00, EXPIRED)),
    (Event.TRANSFER, DONE, 1, SOON, NotPossible),
    (Event.TRANSFER, BY_CLOCK, 200_00, DUE + 9 * DAY, change(200_00, 200_00, EXPIRED)),
    (Event.TRANSFER, BY_MERCHANT, 200_00, SOON, change(200_00, 200_00, MERCHANT)),
    (Event.TRANSFER, BY_OPERATOR, SUM, SOON, confirm(SUM, SUM, OPERATOR)),
    (Event.OPERATOR_ACCEPT, was(PENDING), 0, SOON, confirm(SUM, SUM)),
    (Event.OPERATOR_ACCEPT, EMPTY, 0, SOON, confirm(SUM, SUM)),
    (Event.OPERATOR_ACCEPT, SOME, 0, SOON, confirm(SUM, 300_00)),
    (Event.OPERATOR_ACCEPT, LATE, 0, DUE, confirm(SUM, 300_00, EXPIRED)),
    (Event.OPERATOR_ACCEPT, DONE, 0, SOON, NotPossible),
    (Event.OPERATOR_ACCEPT, BY_CLOCK, 0, DUE + 9 * DAY, confirm(SUM, SUM, EXPIRED)),
    (Event.OPERATOR_ACCEPT, BY_MERCHANT, 0, SOON, confirm(SUM, SUM, MERCHANT)),
    (Event.SETTLE, was(PENDING), 0, SOON, NotPossible),
    (Event.SETTLE, EMPTY, 0, SOON, NotPossible),
    (Event.SETTLE, VOIDED, 0, SOON, NotPossible),
    (Event.SETTLE, SOME, 0, SOON, confirm(200_00, None)),
    (Event.SETTLE, LATE, 0, DUE, confirm(200_00, None, EXPIRED)),
    (Event.SETTLE, DONE, 0, SOON, NotPossible),
    (Event.SETTLE, BY_MERCHANT, 0, SOON, NotPossible),
    (Event.OPERATOR_CANCEL, was(PENDING), 0, SOON, cancelled(OPERATOR)),
    (Event.OPERATOR_CANCEL, EMPTY, 0, SOON, cancelled(OPERATOR)),
    (Event.OPERATOR_CANCEL, VOIDED, 0, SOON, cancelled(OPERATOR)),
    (Event.OPERATOR_CANCEL, SOME, 0, SOON, NotPossible),
    (Event.OPERATOR_CANCEL, LATE, 0, DUE, NotPossible),
    (Event.OPERATOR_CANCEL, DONE, 0, SOON, NotPossible),
    (Event.OPERATOR_CANCEL, BY_CLOCK, 0, DUE, NotPossible),
    (Event.VOID, was(PENDING), 200_00, SOON, NotPossible),
    (Event.VOID, SOME, 50_00, SOON, change(150_00, None)),
    (Event.VOID, SOME, 200_00, SOON, change(0, None)),
    (Event.VOID, LATE, 50_00, DUE, change(150_00, None, EXPIRED)),
    (Event.VOID, LATE, 200_00, DUE, cancelled(EXPIRED)),
    (Event.VOID, was(CONFIRMING, 200_00, MERCHANT), 200_00, SOON, cancelled(MERCHANT)),
    (Event.VOID, was(CONFIRMING, 200_00, OPERATOR), 200_00, SOON, cancelled(OPERATOR)),
    (Event.VOID, DONE, SUM, SOON, NotPossible),
    (Event.VOID, BACK_AGAIN, 200_00, DUE, NotPossible),
    (Event.EXPIRE, was(PENDING), 0, DUE, cancelled(EXPIRED)),
    (Event.EXPIRE, EMPTY, 0, DUE, becomes(CONFIRMING)),
    (Event.EXPIRE, LATE, 0, DUE, becomes(CONFIRMING, 200_00, EXPIRED)),
    (Event.EXPIRE, DONE, 0, DUE, becomes(ACCEPT, SUM)),
    (Event.EXPIRE, BY_MERCHANT, 0, DUE, becomes(CANCEL, 0, MERCHANT)),
]


def name(row: Row) -> str:
    event, payment, amount, _, _ = row
    return f"{event}-{payment.status}-{payment.cancel_cause or 'no cause'}-{payment.received}-{amount}"


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_table(row: Row) -> None:
    event, payment, amount, at, after = row
    if isinstance(after, Step):
        assert decide(event, payment, at, amount) == after
        return
    with pytest.raises(after) as refused:
        decide(event, payment, at, amount)
    assert refused.value.payment_status == payment.status


def test_no_cell_of_the_table_is_left_out() -> None:
    assert {(event, payment.status) for event, payment, *_ in ROWS} == {(e, s) for e in Event for s in Status}


RECORD = {Event.TRANSFER, Event.OPERATOR_ACCEPT}
POSSIBLE = {
    was(PENDING): RECORD | {Event.OPERATOR_CANCEL},
    EMPTY: RECORD | {Event.OPERATOR_CANCEL, Event.VOID},
    SOME: RECORD | {Event.SETTLE, Event.VOID},
    LATE: RECORD | {Event.SETTLE, Event.VOID},
    DONE: set(),
    BY_OPERATOR: RECORD,
}


@pytest.mark.parametrize("payment", POSSIBLE, ids=str)
def test_what_an_operator_may_do(payment: Facts) -> None:
    assert possible(payment, SOON) == POSSIBLE[payment]


@pytest.mark.parametrize("status", Status)
def test_only_an_unpaid_payment_is_ever_due(status: Status) -> None:
    assert is_due(status, DUE, DUE) is (status is PENDING)
    assert is_due(status, DUE, DUE - MOMENT) is False
    assert is_due(status, None, DUE) is False


@pytest.mark.parametrize("event", EVENTS_OF_OPERATORS)
def test_who_saw_the_version_before_the_merchants_own_accept_may_record_money(event: Event) -> None:
    assert is_seen(event, 3, version=3, paid_version=None)
    assert is_seen(event, 3, version=3, paid_version=3)
    assert is_seen(event, 2, version=3, paid_version=3) is (event in RECORD)
    assert not is_seen(event, 2, version=3, paid_version=None)
    assert not is_seen(event, 2, version=3, paid_version=2)
    assert not is_seen(event, 1, version=3, paid_version=3)
    assert not is_seen(event, 4, version=3, paid_version=3)
