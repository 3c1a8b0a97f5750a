"""Two who decide one payment at once, on each database: one wins, the other is told what the payment now is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select

from cerber.audit.models import AuditEntry
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import CerberError, MoneyReceived, NotFound, PaymentClosed, ReferenceUsed, VersionChanged
from cerber.payments import decisions, expiry
from cerber.payments.models import Payment, Transfer
from cerber.wallets.models import Wallet
from tests.support.clock import Clock
from tests.support.factories import MerchantKeys, bodies, make_merchant, make_wallet, open_payment, payment
from tests.support.locks import waiting

ROUNDS = 4
CONFIRM = {"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}
CANCEL = {"status": "cancel", "payment_id": "3636363", "confirm_sum": "0"}
CHANGE = {"payment_id": 3636363, "confirm_sum": "200", "payment_sum": "500"}


@pytest.fixture
def keys(app: Flask) -> MerchantKeys:
    make_wallet(app)
    return make_merchant(app)


@pytest.fixture
def pk(app: Flask, keys: MerchantKeys) -> int:
    return open_payment(app, keys)


def at_once(app: Flask, *deeds: Callable[[], object]) -> list[object]:
    """Does all at the same time, each in a thread and an app context of its own; errors are results."""
    start = threading.Barrier(len(deeds))

    def run(deed: Callable[[], object]) -> object:
        with app.app_context():
            start.wait(10)
            try:
                return deed()
            except CerberError as error:
                return error

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


def lost(results: list[object]) -> list[CerberError]:
    return [result for result in results if isinstance(result, CerberError)]


def transfers(app: Flask, pk: int) -> list[int]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(Transfer.sum).filter_by(payment_id=pk).order_by(Transfer.id)))


def told(app: Flask) -> list[object]:
    return [json.loads(body) for body in bodies(app)]


def audited(app: Flask, pk: int) -> list[str]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(AuditEntry.action).filter_by(payment_id=pk).order_by(AuditEntry.id)))


def expected(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return session.scalars(select(Wallet.expected)).one()


def test_two_operators_accept_at_once(app: Flask, pk: int) -> None:
    results = at_once(
        app, lambda: decisions.accept(pk, 1, "operator:ayla"), lambda: decisions.accept(pk, 1, "operator:murad")
    )
    (error,) = lost(results)
    assert isinstance(error, VersionChanged)
    assert error.payment_status == "accept"
    assert transfers(app, pk) == [500_00]
    assert told(app) == [CONFIRM]
    assert audited(app, pk) == ["operator_accept"]
    assert (payment(app, pk).status, payment(app, pk).received, payment(app, pk).version) == ("accept", 500_00, 2)
    assert expected(app) == 0


def test_one_operator_accepts_while_another_cancels(app: Flask, pk: int) -> None:
    results = at_once(
        app, lambda: decisions.accept(pk, 1, "operator:ayla"), lambda: decisions.cancel(pk, 1, "operator:murad")
    )
    (error,) = lost(results)
    assert isinstance(error, VersionChanged)
    status = payment(app, pk).status
    assert error.payment_status == status
    assert told(app) == [CONFIRM if status == "accept" else CANCEL]
    assert transfers(app, pk) == ([500_00] if status == "accept" else [])
    assert expected(app) == 0


def test_a_settlement_never_takes_a_sum_that_its_operator_did_not_see(app: Flask, pk: int) -> None:
    with app.app_context():
        decisions.record_transfer(pk, 1, "operator:ayla", 200_00)
    results = at_once(
        app,
        lambda: decisions.settle(pk, 2, "operator:ayla"),
        lambda: decisions.record_transfer(pk, 2, "operator:murad", 100_00),
    )
    (error,) = lost(results)
    assert isinstance(error, VersionChanged)
    became = payment(app, pk)
    assert (became.status, became.received) in [("accept", 200_00), ("confirming", 300_00)]
    assert error.payment_status == became.status
    assert len(told(app)) == 2
    assert expected(app) == (0 if became.status == "accept" else 200_00)


@pytest.mark.parametrize("reference", [None, "M10-1"])
def test_a_double_click_records_one_transfer(app: Flask, pk: int, reference: str | None) -> None:
    def click() -> None:
        decisions.record_transfer(pk, 1, "operator:ayla", 200_00, reference)

    results = at_once(app, *[click] * 6)
    assert [type(error) for error in lost(results)] == [VersionChanged] * 5
    with app.app_context(), pytest.raises(VersionChanged):  # and the slow second click
        click()
    assert transfers(app, pk) == [200_00]
    assert told(app) == [CHANGE]
    assert (payment(app, pk).received, payment(app, pk).version) == (200_00, 2)
    assert expected(app) == 300_00


def test_one_reference_counts_once_for_a_wallet_whoever_types_it(app: Flask, keys: MerchantKeys, pk: int) -> None:
    other = open_payment(app, keys, payment_id="2", sum="400")
    results = at_once(
        app,
        lambda: decisions.record_transfer(pk, 1, "operator:ayla", 200_00, "M10-1"),
        lambda: decisions.record_transfer(other, 1, "operator:murad", 200_00, "M10-1"),
    )
    (error,) = lost(results)
    assert isinstance(error, ReferenceUsed)
    assert transfers(app, pk) + transfers(app, other) == [200_00]
    assert len(told(app)) == 1
    assert sorted([payment(app, pk).version, payment(app, other).version]) == [1, 2]
    assert expected(app) == 700_00


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_an_operator_against_the_time_to_live(app: Flask, pk: int, clock: Clock, _round: int) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    results = at_once(
        app,
        clock.at(due - timedelta(microseconds=1), lambda: decisions.accept(pk, 1, "operator:ayla")),
        clock.at(due, lambda: expiry.expire_due()),
    )
    became = payment(app, pk)
    assert became.version == 2
    assert expected(app) == 0
    if became.status == "accept":
        assert results[0] is None  # the other may have seen it due, and came too late
        assert (transfers(app, pk), told(app)) == ([500_00], [CONFIRM])
        return
    assert isinstance(results[0], VersionChanged)
    assert (results[0].payment_status, results[1], became.cancel_cause) == ("cancel", 1, "expired")
    assert (transfers(app, pk), told(app)) == ([], [CANCEL])


def test_an_operator_who_comes_after_the_time_is_told_so(app: Flask, pk: int, clock: Clock) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    deeds = [lambda: decisions.accept(pk, 1, "operator:ayla"), lambda: decisions.cancel(pk, 1, "operator:murad")]
    results = at_once(app, *(clock.at(due, deed) for deed in deeds), clock.at(due, lambda: expiry.expire(pk)))
    assert [type(error) for error in lost(results)] == [VersionChanged] * 2
    assert payment(app, pk).cancel_cause == "expired"
    assert (transfers(app, pk), told(app), audited(app, pk)) == ([], [CANCEL], ["expire"])


def each_decision(pk: int) -> list[Callable[[], object]]:
    return [
        lambda: decisions.accept(pk, 1, "operator:ayla"),
        lambda: decisions.cancel(pk, 1, "operator:ayla"),
        lambda: decisions.record_transfer(pk, 1, "operator:ayla", 200_00),
        lambda: decisions.void_transfer(pk, 0, 1, "operator:admin", "typed wrong"),
        lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=True),
        lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=False),
    ]


@pytest.mark.parametrize("which", range(6))
def test_no_decision_is_half_before_the_time_and_half_after(app: Flask, pk: int, clock: Clock, which: int) -> None:
    """The time strikes with the first commit: whoever looked before it has decided before it."""
    due = payment(app, pk).due_at
    assert due is not None
    with app.app_context():
        event.listen(db.engine, "commit", lambda _: clock.stop_here(due))
        with suppress(NotFound):
            clock.at(due - timedelta(microseconds=1), each_decision(pk)[which])()
        with reading() as session:
            changed = list(session.scalars(select(AuditEntry.at).filter_by(payment_id=pk)))
    assert all(at < due for at in changed)
    assert payment(app, pk).version == 1 + len(changed)


@pytest.mark.parametrize("which", range(4))
def test_an_operator_who_waited_for_the_lock_over_the_time_is_too_late(
    app: Flask, pk: int, clock: Clock, which: int
) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    clock.stop(due - timedelta(microseconds=1))
    with app.app_context(), ThreadPoolExecutor(1) as pool, db.engine.begin() as holder:
        holder.execute(select(Payment.id).filter_by(id=pk).with_for_update())
        waits = waiting(db.engine)
        result = pool.submit(at_once, app, each_decision(pk)[which])
        assert waits.wait(10)
        clock.stop(due)
        holder.rollback()
        (error,) = result.result(20)
    assert isinstance(error, VersionChanged)
    assert error.payment_status == "cancel"
    assert (payment(app, pk).cancel_cause, told(app), audited(app, pk)) == ("expired", [CANCEL], ["expire"])


def test_a_guess_of_the_version_after_the_expiry_decides_nothing(app: Flask, pk: int, clock: Clock) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    (error,) = at_once(app, clock.at(due, lambda: decisions.accept(pk, 2, "operator:ayla")))
    assert isinstance(error, VersionChanged)
    assert (audited(app, pk), told(app)) == (["expire"], [CANCEL])


@pytest.mark.parametrize(
    ("late", "said", "becomes", "entries"),
    [
        (timedelta(0), True, "confirming", ["expire", "merchant_accept"]),
        (timedelta(0), False, "cancel", ["expire", "merchant_cancel"]),
        (timedelta(hours=24), True, None, ["expire"]),
        (timedelta(hours=24), False, "cancel", ["expire", "merchant_cancel"]),
    ],
)
def test_a_merchant_who_comes_after_the_time_is_told_what_an_expired_payment_allows(
    app: Flask, pk: int, clock: Clock, late: timedelta, said: bool, becomes: str | None, entries: list[str]
) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    deed = clock.at(due + late, lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=said))
    (result,) = at_once(app, deed)
    if becomes is None:
        assert isinstance(result, PaymentClosed)
        assert result.payment_status == "cancel"
    else:
        assert result == becomes
    assert payment(app, pk).status == (becomes or "cancel")
    assert (audited(app, pk), told(app)) == (entries, [CANCEL])
    assert expected(app) == (500_00 if becomes == "confirming" else 0)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_merchants_cancel_against_an_operator(app: Flask, pk: int, _round: int) -> None:
    results = at_once(
        app,
        lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=False),
        lambda: decisions.accept(pk, 1, "operator:ayla"),
    )
    became = payment(app, pk)
    assert became.version == 2
    assert expected(app) == 0
    (error,) = lost(results)
    assert error.payment_status == became.status
    if became.status == "accept":
        assert isinstance(error, PaymentClosed)
        assert (transfers(app, pk), told(app)) == ([500_00], [CONFIRM])
        return
    assert isinstance(error, VersionChanged)
    assert became.cancel_cause == "merchant"
    assert (transfers(app, pk), told(app)) == ([], [CANCEL])


def test_a_merchants_cancel_against_the_first_transfer(app: Flask, pk: int) -> None:
    results = at_once(
        app,
        lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=False),
        lambda: decisions.record_transfer(pk, 1, "operator:ayla", 200_00),
    )
    became = payment(app, pk)
    (error,) = lost(results)
    assert error.payment_status == became.status
    assert isinstance(error, MoneyReceived if became.status == "confirming" else VersionChanged)
    assert told(app) == [CHANGE if became.status == "confirming" else CANCEL]


def test_many_merchants_cancels_at_once_send_one_webhook(app: Flask, pk: int) -> None:
    results = at_once(app, *[lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=False)] * 8)
    assert results == ["cancel"] * 8
    assert told(app) == [CANCEL]
    assert audited(app, pk) == ["merchant_cancel"]


def test_one_transfer_is_voided_once(app: Flask, pk: int) -> None:
    with app.app_context():
        decisions.record_transfer(pk, 1, "operator:ayla", 200_00)
        with reading() as session:
            transfer = session.scalars(select(Transfer.id).filter_by(payment_id=pk)).one()
    results = at_once(app, *[lambda: decisions.void_transfer(pk, transfer, 2, "operator:admin", "typed wrong")] * 4)
    assert [type(error) for error in lost(results)] == [VersionChanged] * 3
    assert payment(app, pk).received == 0
    assert told(app) == [CHANGE, CHANGE | {"confirm_sum": "0"}]
    assert expected(app) == 500_00
    with app.app_context(), reading() as session:
        assert session.scalars(select(Payment.status)).one() == "confirming"
        assert session.scalars(select(Wallet.received_today)).one() == 0


def test_no_replay_reopens_what_expired_once_money_was_recorded_and_voided(app: Flask, pk: int, clock: Clock) -> None:
    due = payment(app, pk).due_at
    assert due is not None
    clock.stop(due)
    with app.app_context():
        expiry.expire(pk)
        decisions.record_transfer(pk, 2, "operator:ayla", 200_00)
        with reading() as session:
            transfer = session.scalars(select(Transfer.id)).one()
        decisions.void_transfer(pk, transfer, 3, "operator:admin", "typed wrong")
        with pytest.raises(PaymentClosed):
            decisions.merchant_update(pk, "merchant:shop-1", accept=True)
    became = payment(app, pk)
    assert (became.status, became.cancel_cause, became.version) == ("cancel", "expired", 4)


def test_money_passes_over_what_the_merchant_said_meanwhile_and_a_settlement_does_not(app: Flask, pk: int) -> None:
    with app.app_context():
        decisions.merchant_update(pk, "merchant:shop-1", accept=True)
        for decide in (decisions.settle, decisions.cancel):
            with pytest.raises(VersionChanged):
                decide(pk, 1, "operator:ayla")
        decisions.record_transfer(pk, 1, "operator:ayla", 200_00)
        for version in (1, 2):  # money has come since: it is no longer what anybody saw
            with pytest.raises(VersionChanged):
                decisions.accept(pk, version, "operator:ayla")
    assert (transfers(app, pk), told(app)) == ([200_00], [CHANGE])


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_an_operator_accepts_while_the_merchant_says_paid(app: Flask, pk: int, _round: int) -> None:
    results = at_once(
        app,
        lambda: decisions.accept(pk, 1, "operator:ayla"),
        lambda: decisions.merchant_update(pk, "merchant:shop-1", accept=True),
    )
    assert lost(results) == []
    assert payment(app, pk).status == "accept"
    assert (transfers(app, pk), told(app)) == ([500_00], [CONFIRM])
