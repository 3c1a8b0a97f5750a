"""The balance is right to the qəpik at every moment, whatever happens and however far the worker has come.

Whole lives of payments are made up by hypothesis; after each step get_balance is asked over HTTP for several
intervals, and must say what a plain sum over the payments' rows says by the table of contract section 4.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from cerber.db.transactions import reading
from cerber.errors import CerberError
from cerber.ledger import folding
from cerber.ledger.accounts import Accounts
from cerber.ledger.models import LedgerEntry, LedgerSum
from cerber.ledger.periods import WIDTHS
from cerber.payments import decisions, expiry
from cerber.payments.models import Payment, Transfer
from tests.support.clock import Clock
from tests.support.factories import call, get_wallet, make_merchant, make_wallet

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 24, 8, tzinfo=UTC)
INSTANT, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
BLOCK = datetime(1970, 1, 1, tzinfo=UTC) + 27 * WIDTHS[2] * HOUR * 24  # where periods of three widths begin
EDGES = [NOON, NOON + HOUR, NOON - DAY, datetime(2026, 11, 24, tzinfo=UTC), BLOCK, BLOCK + DAY]
FAR = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]

edges = st.builds(
    lambda edge, off: edge + off,
    st.sampled_from(EDGES),
    st.sampled_from([0 * INSTANT, INSTANT, -INSTANT, HOUR / 2, 123_457 * INSTANT, -HOUR, HOUR, 5 * HOUR]),
)
moments = edges | st.sampled_from(FAR)
intervals = st.tuples(st.none() | moments, st.none() | moments)
amounts = st.sampled_from([1, 10, 200_00, 299_99, 500_00, 700_00])
sums = st.sampled_from(["0.01", "0.3", "500", "999.99"])
picks = st.integers(0, 5)
Sums = dict[str, Fraction]


class Books(RuleBasedStateMachine):
    app: Flask
    clock: Clock
    merchants = count(1)

    @initialize(both=st.tuples(intervals, intervals))
    def start(self, both: tuple[tuple[datetime | None, datetime | None], ...]) -> None:
        self.keys = make_merchant(self.app, f"shop-{next(self.merchants)}")
        self.client = self.app.test_client()
        self.clock.stop(NOON)
        self.payments: list[int] = []
        self.asked = [(None, None), (NOON - DAY + INSTANT, NOON + 7 * INSTANT), *both]

    @rule(total=sums, created=st.none() | moments)
    def open(self, total: str, created: datetime | None) -> None:
        payment_id = f"{len(self.payments)}"
        create_time = created.isoformat() if created else "in an hour nobody can read"
        answer = get_wallet(self.client, self.keys, payment_id=payment_id, sum=total, create_time=create_time)
        assert answer.status_code == 200, answer.text
        with self.app.app_context(), reading() as session:
            newest = select(func.max(Payment.id)).filter_by(payment_id=payment_id)
            self.payments.append(session.scalars(newest).one())

    @rule(pick=picks, status=st.sampled_from(["accept", "cancel"]))
    def the_merchant_says(self, pick: int, status: str) -> None:
        if self.payments:
            fields = {"payment_id": f"{pick % len(self.payments)}", "status": status}
            answer = call(self.client, "POST", "update_status", self.keys.payment_secret, fields)
            assert answer.status_code in (200, 409)

    @rule(pick=picks, amount=amounts)
    def money_comes(self, pick: int, amount: int) -> None:
        self._decide(
            pick, lambda pk, version: decisions.record_transfer(pk, version, "operator:a", amount, f"{pk}-{version}")
        )

    @rule(pick=picks)
    def an_operator_accepts(self, pick: int) -> None:
        self._decide(pick, lambda pk, version: decisions.accept(pk, version, "operator:a", f"{pk}-{version}"))

    @rule(pick=picks)
    def an_operator_settles(self, pick: int) -> None:
        self._decide(pick, lambda pk, version: decisions.settle(pk, version, "operator:a"))

    @rule(pick=picks)
    def an_operator_cancels(self, pick: int) -> None:
        self._decide(pick, lambda pk, version: decisions.cancel(pk, version, "operator:a"))

    @rule(pick=picks)
    def an_admin_voids(self, pick: int) -> None:
        def void(pk: int, version: int) -> None:
            with reading() as session:
                live = select(func.max(Transfer.id)).filter_by(payment_id=pk, voided_at=None)
                transfer = session.scalar(live)
            decisions.void_transfer(pk, transfer or 0, version, "operator:admin", "typed wrong")

        self._decide(pick, void)

    @rule(step=st.sampled_from([INSTANT, timedelta(minutes=59), HOUR, DAY]))
    def time_passes(self, step: timedelta) -> None:
        self.clock.stop(self.clock() + step)

    @rule()
    def the_worker_expires(self) -> None:
        with self.app.app_context():
            expiry.expire_due()

    @rule()
    def the_worker_folds(self) -> None:
        with self.app.app_context():
            folding.fold_all()

    @rule(interval=intervals)
    def another_interval_is_asked_for(self, interval: tuple[datetime | None, datetime | None]) -> None:
        self.asked[-1] = interval

    def _decide(self, pick: int, decision: Callable[[int, int], None]) -> None:
        if not self.payments:
            return
        pk = self.payments[pick % len(self.payments)]
        with self.app.app_context():
            with reading() as session:
                version = session.scalars(select(Payment.version).filter_by(id=pk)).one()
            with suppress(CerberError):
                decision(pk, version)

    @invariant()
    def get_balance_says_what_the_rows_say(self) -> None:
        if not hasattr(self, "keys"):
            return
        with self.app.app_context(), reading() as session:
            rows = session.scalars(select(Payment).where(Payment.id.in_(self.payments))).all()
        for start, end in self.asked:
            if start is None or end is None or start <= end:
                assert self._balance(start, end) == self._plain_sum(rows, start, end), (start, end)

    def _balance(self, start: datetime | None, end: datetime | None) -> Sums:
        dates = {"start_date": start, "end_date": end}
        fields = {name: moment.isoformat() for name, moment in dates.items() if moment}
        answer = call(
            self.client, "GET", "get_balance", self.keys.balance_secret, {"merch_id": self.keys.merch_id} | fields
        )
        assert answer.status_code == 200, answer.text
        return dict(json.loads(answer.text, parse_int=Fraction, parse_float=Fraction))

    def _plain_sum(self, rows: list[Payment], start: datetime | None, end: datetime | None) -> Sums:
        found = {"canceled_sum": 0, "confirm_sum": 0, "pending_sum": 0}
        for row in rows:
            if (start and row.create_time < start) or (end and row.create_time > end):
                continue
            if row.status == "cancel" or (row.status == "pending" and row.due_at and row.due_at <= self.clock()):
                found["canceled_sum"] += row.sum
                continue
            found["confirm_sum"] += row.received
            missing = "canceled_sum" if row.status == "accept" else "pending_sum"
            found[missing] += max(row.sum - row.received, 0)
        return {name: Fraction(qepik, 100) for name, qepik in found.items()}

    @invariant()
    def all_accounts_together_are_zero(self) -> None:
        for table in (LedgerEntry, LedgerSum):
            everything = sum((getattr(table, name) for name in Accounts._fields[1:]), table.ordered)
            with self.app.app_context(), reading() as session:
                assert not session.scalar(select(func.sum(everything)))


@pytest.mark.timeout(400)  # thousands of calls
def test_the_balance_is_right_after_each_step(app: Flask, clock: Clock) -> None:
    make_wallet(app)
    Books.app, Books.clock = app, clock
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
