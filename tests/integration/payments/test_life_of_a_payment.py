"""Whole lives of payments, made up by hypothesis, through the services on a real database.

Beside it lives a small model written from contract section 3 alone. After each step the two must agree on the
payments, their webhooks, their versions and the wallet's counters.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from cerber.app import create_app
from cerber.audit.models import AuditEntry
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import (
    CerberError,
    MoneyReceived,
    NotFound,
    NotPossible,
    NoWalletAvailable,
    PaymentClosed,
    PaymentIdReused,
    VersionChanged,
)
from cerber.merchants.models import Merchant
from cerber.payments import decisions, expiry, opening
from cerber.payments.models import Payment, Transfer
from cerber.wallets.models import Wallet
from cerber.webhooks.models import Webhook
from tests.support.clock import Clock
from tests.support.databases import ENV
from tests.support.factories import CALLBACK, make_merchant, make_wallet

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 11, 24, 6, tzinfo=UTC)
TTL, DAY = timedelta(minutes=60), timedelta(hours=24)
ZONE = ZoneInfo("Asia/Baku")
LIMIT = 1600_00
SUMS = {"1": 500_00, "2": 30, "sifariş": 999_99}
OPEN = ("pending", "confirming")

ids = st.sampled_from(["1", "1", "1", "2", "2", "sifariş"])
amounts = st.sampled_from([1, 10, 200_00, 299_99, 500_00])
Refusal = type[CerberError] | None
moments = st.sampled_from(
    [timedelta(microseconds=1), timedelta(minutes=20), TTL, TTL - timedelta(seconds=1), timedelta(hours=22), DAY]
)


@dataclass
class Model:
    """What contract section 3 makes of one payment. `came` are sums with the day they were recorded on."""

    id: str
    sum: int
    due: datetime
    key: int = 0
    status: str = "pending"
    cause: str | None = None
    came: dict[int, tuple[int, date]] = field(default_factory=dict)
    money_ever: bool = False
    told: list[dict[str, object]] = field(default_factory=list)
    version: int = 1
    paid_version: int | None = None
    number: int = 0

    @property
    def received(self) -> int:
        return sum(amount for amount, _ in self.came.values())

    @property
    def expected(self) -> int:
        return self.sum - self.received if self.status in OPEN else 0

    def tell_confirm(self) -> None:
        self.told.append({"status": "confirm", "payment_id": self.id, "confirm_sum": written(self.received)})

    def tell_change(self) -> None:
        shown = int(self.id) if self.id.isdigit() else self.id
        sums = {"confirm_sum": written(self.received), "payment_sum": written(self.sum)}
        self.told.append({"payment_id": shown} | sums)

    def cancel(self, cause: str) -> None:
        self.status, self.cause = "cancel", cause
        self.told.append({"status": "cancel", "payment_id": self.id, "confirm_sum": "0"})

    def expire(self, now: datetime) -> None:
        if self.status == "pending" and now >= self.due:
            self.cancel("expired")

    def merchant_accept(self, now: datetime) -> Refusal:
        if self.status == "cancel" and (self.cause != "expired" or now - self.due >= DAY or self.money_ever):
            return PaymentClosed
        if self.status in ("pending", "cancel"):
            self.status, self.cause, self.paid_version = "confirming", None, self.version + 1
        return None

    def merchant_cancel(self) -> Refusal:
        if self.status == "accept":
            return PaymentClosed
        if self.status == "confirming" and self.money_ever:
            return MoneyReceived
        if self.status != "cancel":
            self.cancel("merchant")
        elif self.cause == "expired":
            self.cause = "merchant"
        return None

    def transfer(self, amount: int, today: date) -> Refusal:
        if self.status == "accept":
            return NotPossible
        self.number += 1
        self.came[self.number], self.money_ever = (amount, today), True
        if self.received >= self.sum:
            self.status = "accept"
            self.tell_confirm()
        else:
            self.status = "confirming"
            self.tell_change()
        return None

    def accept(self, today: date) -> Refusal:
        return self.transfer(self.sum - self.received, today)

    def settle(self) -> Refusal:
        if self.status != "confirming" or self.received == 0:
            return NotPossible
        self.status = "accept"
        self.tell_confirm()
        return None

    def operator_cancel(self) -> Refusal:
        if self.status not in OPEN or self.received:
            return NotPossible
        self.cancel("operator")
        return None

    def void(self, number: int) -> Refusal:
        if number not in self.came:
            return NotFound
        if self.status != "confirming":
            return NotPossible
        del self.came[number]
        if not self.came and self.cause is not None:
            self.cancel(self.cause)
        else:
            self.tell_change()
        return None


def written(qepik: int) -> str:
    return str(qepik // 100) if qepik % 100 == 0 else f"{qepik // 100}.{qepik % 100:02}"


class Life(RuleBasedStateMachine):
    template: Path

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "life.db"
        shutil.copy(self.template, path)
        self.clock = Clock()
        self.clock.stop(MORNING)
        self.app: Flask = create_app(ENV | {"CERBER_DATABASE_URL": f"sqlite:///{path}"}, self.clock)
        make_wallet(self.app, daily_limit=LIMIT)
        make_merchant(self.app)
        with self.app.app_context(), reading() as session:
            self.merchant = session.scalars(select(Merchant.id)).one()
        self.model: dict[str, Model] = {}
        for payment_id in ("1", "2"):
            self.open(payment_id)

    def teardown(self) -> None:
        if hasattr(self, "app"):
            with self.app.app_context():
                for engine in db.engines.values():
                    engine.dispose()
            self.folder.cleanup()

    @property
    def today(self) -> date:
        return self.clock().astimezone(ZONE).date()

    @contextmanager
    def changing(self, one: Model) -> Iterator[None]:
        """The payment's version rises where the model changes, and only there."""
        before = (one.status, one.cause, dict(one.came), len(one.told))
        yield
        if (one.status, one.cause, one.came, len(one.told)) != before:
            one.version += 1

    def touch(self, one: Model) -> None:
        with self.changing(one):
            one.expire(self.clock())

    def both(self, one: Model, product: Callable[[], object], model: Callable[[], Refusal]) -> None:
        """Lets the product and the model do the same: both succeed, or both refuse in the same way."""
        self.touch(one)
        with self.changing(one):
            refusal = model()
        with self.app.app_context():
            if refusal is None:
                product()
                return
            with pytest.raises(refusal) as refused:
                product()
        assert refused.value.payment_status in (one.status, None)

    def request(self, payment_id: str, **changes: object) -> opening.Opening:
        fields = {"payment_id": payment_id, "user_wallet": "99450", "sum": SUMS[payment_id], "callback_url": CALLBACK}
        return opening.Opening(**(fields | changes), create_time=None, create_time_text="now")  # type: ignore[arg-type]

    @rule(payment_id=ids)
    def get_wallet(self, payment_id: str) -> None:
        if payment_id in self.model:
            one = self.model[payment_id]
            self.touch(one)
            refusal = None if one.status in OPEN else PaymentClosed
            self.both(one, lambda: opening.open_payment(self.merchant, self.request(payment_id)), lambda: refusal)
            return
        self.open(payment_id)

    def open(self, payment_id: str) -> None:
        due = sum(one.expected for one in self.model.values() if one.status == "pending" and self.clock() >= one.due)
        fits = self.used() - due + SUMS[payment_id] <= LIMIT  # what is due counts as cancelled
        with self.app.app_context():
            if not fits:
                with pytest.raises(NoWalletAvailable):
                    opening.open_payment(self.merchant, self.request(payment_id))
                return
            opening.open_payment(self.merchant, self.request(payment_id))
            with reading() as session:
                key = session.scalars(select(Payment.id).filter_by(payment_id=payment_id)).one()
        self.model[payment_id] = Model(payment_id, SUMS[payment_id], self.clock() + TTL, key)

    @rule(payment_id=ids)
    def get_wallet_with_other_data(self, payment_id: str) -> None:
        if one := self.model.get(payment_id):
            other = self.request(payment_id, sum=one.sum + 1)
            self.both(one, lambda: opening.open_payment(self.merchant, other), lambda: PaymentIdReused)

    @rule(payment_id=ids)
    def merchant_accepts(self, payment_id: str) -> None:
        if one := self.model.get(payment_id):
            self.both(
                one,
                lambda: decisions.merchant_update(one.key, "merchant:shop-1", accept=True),
                lambda: one.merchant_accept(self.clock()),
            )

    @rule(payment_id=ids)
    def merchant_cancels(self, payment_id: str) -> None:
        if one := self.model.get(payment_id):
            self.both(
                one, lambda: decisions.merchant_update(one.key, "merchant:shop-1", accept=False), one.merchant_cancel
            )

    def operator(
        self, payment_id: str, product: Callable[[Model, int], None], model: Callable[[Model], Refusal]
    ) -> None:
        """An operator decides on the page as it was before the payment may have expired."""
        if one := self.model.get(payment_id):
            version = one.version
            self.touch(one)
            current = one.version == version
            self.both(one, lambda: product(one, version), lambda: model(one) if current else VersionChanged)

    @rule(payment_id=ids, amount=amounts)
    def transfer(self, payment_id: str, amount: int) -> None:
        self.operator(
            payment_id,
            lambda one, version: decisions.record_transfer(one.key, version, "operator:ayla", amount),
            lambda one: one.transfer(amount, self.today),
        )

    @rule(payment_id=ids)
    def operator_accepts(self, payment_id: str) -> None:
        self.operator(
            payment_id,
            lambda one, version: decisions.accept(one.key, version, "operator:ayla"),
            lambda one: one.accept(self.today),
        )

    @rule(payment_id=ids)
    def operator_settles(self, payment_id: str) -> None:
        self.operator(
            payment_id, lambda one, version: decisions.settle(one.key, version, "operator:ayla"), Model.settle
        )

    @rule(payment_id=ids)
    def operator_cancels(self, payment_id: str) -> None:
        self.operator(
            payment_id,
            lambda one, version: decisions.cancel(one.key, version, "operator:ayla"),
            Model.operator_cancel,
        )

    @rule(payment_id=ids, number=st.integers(1, 2))
    def admin_voids(self, payment_id: str, number: int) -> None:
        def void(one: Model, version: int) -> None:
            recorded = [transfer.id for transfer in self.rows(Transfer, payment_id=one.key)]
            pk = recorded[number - 1] if number <= len(recorded) else 0
            decisions.void_transfer(one.key, pk, version, "operator:admin", "typed wrong")

        self.operator(payment_id, void, lambda one: one.void(number))

    @rule(payment_id=ids, off=st.sampled_from([-2, -1, -1, 1]))
    def an_old_page(self, payment_id: str, off: int) -> None:
        if one := self.model.get(payment_id):
            self.touch(one)
            version = one.version + off
            unpaid = off == -1 and one.paid_version == one.version
            model = (lambda: one.accept(self.today)) if unpaid else (lambda: VersionChanged)
            self.both(one, lambda: decisions.settle(one.key, version, "operator:ayla"), lambda: VersionChanged)
            self.both(one, lambda: decisions.cancel(one.key, version, "operator:ayla"), lambda: VersionChanged)
            self.both(one, lambda: decisions.accept(one.key, version, "operator:ayla"), model)

    @rule(payment_id=ids)
    def late_money_that_was_a_mistake(self, payment_id: str) -> None:
        self.merchant_cancels(payment_id)
        self.transfer(payment_id, 1)
        self.admin_voids(payment_id, 1)

    @rule(payment_id=ids, after=st.sampled_from([DAY - timedelta(seconds=1), DAY]))
    def the_payer_says_late_that_the_money_is_sent(self, payment_id: str, after: timedelta) -> None:
        if (one := self.model.get(payment_id)) and self.clock() < one.due:
            self.clock.stop(one.due + after)
            self.merchant_accepts(payment_id)

    @rule()
    def the_worker_expires(self) -> None:
        with self.app.app_context():
            expiry.expire_due()
        for one in self.model.values():
            self.touch(one)

    @rule(moment=moments)
    def time_passes(self, moment: timedelta) -> None:
        self.clock.stop(self.clock() + moment)

    def rows(self, table: type, **where: object) -> list:  # type: ignore[type-arg]
        with self.app.app_context(), reading() as session:
            return list(session.scalars(select(table).filter_by(**where).order_by(table.id)))

    def received_today(self) -> int:
        came = itertools.chain.from_iterable(one.came.values() for one in self.model.values())
        return sum(amount for amount, day in came if day == self.today)

    def used(self) -> int:
        return self.received_today() + sum(one.expected for one in self.model.values())

    @invariant()
    def payments_are_what_the_model_says(self) -> None:
        shown = {
            row.payment_id: (row.status, row.received, row.cancel_cause, row.version) for row in self.rows(Payment)
        }
        assert shown == {one.id: (one.status, one.received, one.cause, one.version) for one in self.model.values()}

    @invariant()
    def every_change_is_audited_once(self) -> None:
        for one in self.model.values():
            assert len(self.rows(AuditEntry, payment_id=one.key)) == one.version - 1

    @invariant()
    def webhooks_tell_the_whole_story(self) -> None:
        for one in self.model.values():
            bodies = [row.body for row in self.rows(Webhook, payment_id=one.key)]
            assert bodies == [json.dumps(body) for body in one.told]
            confirms = [number for number, body in enumerate(bodies) if '"confirm", ' in body]
            assert confirms in ([], [len(bodies) - 1])
            assert bool(confirms) == (one.status == "accept")

    @invariant()
    def the_wallet_counts_right(self) -> None:
        (wallet,) = self.rows(Wallet)
        assert wallet.expected == sum(one.expected for one in self.model.values())
        assert wallet.expected == sum(row.sum - row.received for row in self.rows(Payment) if row.status in OPEN)
        if wallet.received_on == self.today:
            assert wallet.received_today == self.received_today()
        else:
            assert self.received_today() == 0


def test_whole_lives(sqlite_template: Path) -> None:
    Life.template = sqlite_template
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
