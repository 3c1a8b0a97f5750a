"""Many who decide and open at once, on few wallets: no two transactions of ours ever wait for each other."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.engine import ExceptionContext

from cerber.db.engines import db
from cerber.db.transactions import DEADLOCK, reading
from cerber.errors import NotFound, NotPossible, ReferenceNeeded, VersionChanged
from cerber.payments import decisions
from cerber.payments.models import Payment, Transfer
from cerber.payments.states import OPEN, Status
from cerber.wallets.models import Wallet
from cerber.webhooks.models import Webhook
from tests.support.factories import MerchantKeys, call, get_wallet, make_merchant, make_wallet

AYLA = "operator:ayla"
# NotFound is for a transfer that another has voided, ReferenceNeeded for one that others of its sum wait for too
REFUSALS = (VersionChanged, NotPossible, NotFound, ReferenceNeeded)


@pytest.fixture
def deadlocks(app: Flask) -> Counter[str]:
    """How often the server broke a deadlock of ours, by the statement that was undone; run again or not."""
    seen: Counter[str] = Counter()

    def note(context: ExceptionContext) -> None:
        if context.original_exception.args[:1] == (DEADLOCK,):
            seen[str(context.statement)[:60]] += 1

    with app.app_context():
        for engine in db.engines.values():
            event.listen(engine, "handle_error", note)
    return seen


@pytest.fixture
def merchant(app: Flask) -> MerchantKeys:
    return make_merchant(app)


def opened(app: Flask, merchant: MerchantKeys, count: int) -> list[int]:
    """So many open payments: one through the door, the others its copies. Their internal keys."""
    assert get_wallet(app.test_client(), merchant, payment_id="p0").status_code == 200
    with app.app_context():
        first = db.session.scalars(select(Payment)).one()
        row = {column.name: getattr(first, column.name) for column in Payment.__table__.columns}
        copies = [row | {"id": None, "payment_id": f"p{number}"} for number in range(1, count)]
        db.session.execute(insert(Payment), copies)
        db.session.execute(update(Wallet).filter_by(id=first.wallet_id).values(expected=count * first.sum))
        db.session.commit()
        return list(db.session.scalars(select(Payment.id).order_by(Payment.id)))


def at_once(app: Flask, deeds: Sequence[Callable[[], object]], threads: int) -> list[object]:
    """Does them all with so many threads at the same time."""
    start = threading.Barrier(threads)

    def run(mine: Sequence[Callable[[], object]]) -> list[object]:
        start.wait(10)
        results = []
        for deed in mine:
            with app.app_context():
                results.append(deed())
        return results

    with ThreadPoolExecutor(threads) as pool:
        shares = pool.map(run, [deeds[n::threads] for n in range(threads)])
        return [result for share in shares for result in share]


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)  # SQLite has one lock, and no deadlocks
@pytest.mark.parametrize(("payments", "threads"), [(640, 16), (160, 4)])
def test_cancellations_on_one_wallet(
    app: Flask, merchant: MerchantKeys, deadlocks: Counter[str], payments: int, threads: int
) -> None:
    make_wallet(app)
    pks = opened(app, merchant, payments)
    at_once(app, [lambda pk=pk: decisions.cancel(pk, 1, AYLA) for pk in pks], threads)  # type: ignore[misc]
    assert deadlocks == Counter()
    with app.app_context(), reading() as session:
        assert session.scalars(select(Wallet.expected)).one() == 0
        assert session.scalar(select(func.count()).select_from(Webhook)) == payments


class Desk:
    """Does something at random, again and again: openings, what the merchant says, what operators decide."""

    def __init__(self, app: Flask, merchant: MerchantKeys) -> None:
        self._client, self._merchant = app.test_client, merchant
        self._deeds = [self.open] * 4 + [self.say, self.accept, self.transfer, self.transfer, self.cancel]
        self._deeds += [self.settle, self.void, self.expire]

    def do(self, number: int) -> str:
        """One deed, with random numbers of its own. What came of it."""
        chance = random.Random(number)
        try:
            return chance.choice(self._deeds)(number, chance)
        except REFUSALS as refusal:
            return type(refusal).__name__

    def open(self, number: int, chance: random.Random) -> str:
        answer = get_wallet(
            self._client(), self._merchant, payment_id=f"n{number}", sum=str(chance.choice([5, 50, 500]))
        )
        return f"opened: {answer.status_code}"

    def say(self, number: int, chance: random.Random) -> str:
        said = {"payment_id": self._one(chance).payment_id, "status": chance.choice(["accept", "cancel"])}
        answer = call(self._client(), "POST", "update_status", self._merchant.payment_secret, said)
        return f"said: {answer.status_code}"

    def accept(self, number: int, chance: random.Random) -> str:
        payment = self._one(chance)
        decisions.accept(payment.id, payment.version, AYLA, f"M10-{number}")
        return "accepted"

    def transfer(self, number: int, chance: random.Random) -> str:
        payment = self._one(chance)
        reference = f"M10-{number}" if chance.random() < 0.5 else None
        decisions.record_transfer(payment.id, payment.version, AYLA, chance.choice([1_00, 2_00, 5_00]), reference)
        return "transferred"

    def cancel(self, number: int, chance: random.Random) -> str:
        payment = self._one(chance)
        decisions.cancel(payment.id, payment.version, AYLA)
        return "cancelled"

    def settle(self, number: int, chance: random.Random) -> str:
        payment = self._one(chance, Payment.received > 0)
        decisions.settle(payment.id, payment.version, AYLA)
        return "settled"

    def void(self, number: int, chance: random.Random) -> str:
        payment = self._one(chance, Payment.received > 0, Payment.status == Status.CONFIRMING.value)
        with reading() as session:
            transfer = session.scalars(select(Transfer.id).filter_by(payment_id=payment.id, voided_at=None)).first()
        decisions.void_transfer(payment.id, transfer or 0, payment.version, AYLA, "typed wrong")
        return "voided"

    def expire(self, number: int, chance: random.Random) -> str:
        decisions.current_status(self._one(chance).id)
        return "asked"

    def _one(self, chance: random.Random, *which: object) -> Payment:
        with reading() as session:
            found = session.scalars(select(Payment).where(Payment.status.in_(OPEN), *which).limit(40)).all()  # type: ignore[arg-type]
        if not found:
            raise NotFound("There is none.")
        return chance.choice(found)


@pytest.mark.slow
def test_decisions_and_openings_over_twenty_wallets(
    app: Flask, merchant: MerchantKeys, deadlocks: Counter[str]
) -> None:
    for _ in range(20):
        make_wallet(app, daily_limit=1_000_000_00)
    desk = Desk(app, merchant)
    at_once(app, [lambda n=n: desk.open(n, random.Random(n)) for n in range(-40, 0)], threads=8)  # type: ignore[misc]
    results = Counter(at_once(app, [lambda n=n: desk.do(n) for n in range(320)], threads=8))  # type: ignore[misc]
    assert deadlocks == Counter(), results
    assert {str(result)[-3:] for result in results if ":" in str(result)} <= {"200", "409"}, results
    assert {"accepted", "transferred", "cancelled", "settled", "voided", "opened: 200"} <= set(results), results
    with app.app_context(), reading() as session:
        expected = func.coalesce(func.sum(Payment.sum - Payment.received), 0)
        waited_for = (
            select(expected).where(Payment.wallet_id == Wallet.id, Payment.status.in_(OPEN)).scalar_subquery()
        )
        assert all(
            row.expected == row.waited_for
            for row in session.execute(select(Wallet.expected, waited_for.label("waited_for")))
        )
