"""A history in the order of time, batch by batch: so the keys rise with time in every table, as they do in life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from math import pi, sin
from random import Random
from typing import Any

from cerber.ledger import periods
from cerber.ledger.accounts import NOTHING, Accounts, total
from cerber.payments import payers
from cerber.timestamps import day_of
from seeding import deliveries, people
from seeding.deliveries import Delivery, delivered, text
from seeding.people import Seller
from seeding.plots import Life

BATCH = 5_000
DAY = 86_400.0
PAYMENT = (
    "id",
    "merchant_id",
    "payment_id",
    "wallet_id",
    "user_wallet",
    "user_wallet_digits",
    "sum",
    "received",
    "status",
    "cancel_cause",
    "version",
    "callback_url",
    "create_time",
    "create_time_text",
    "create_time_read",
    "opened_at",
    "due_at",
    "closed_at",
    "checking_since",
    "holds_sum_until",
)
TRANSFER = (
    "payment_id",
    "wallet_id",
    "sum",
    "reference",
    "live_reference",
    "recorded_at",
    "recorded_by",
    "voided_at",
    "voided_by",
    "void_reason",
)
AUDIT = (
    "at",
    "actor",
    "action",
    "payment_id",
    "details",
)
ENTRY = (
    "payment_id",
    "version",
    "at",
    "hour",
    *Accounts._fields,
)
Rows = dict[str, list[tuple[Any, ...]]]
Sums = dict[tuple[int, datetime], Accounts]  # of a merchant and an hour
COLUMNS = {
    "payments": PAYMENT,
    "transfers": TRANSFER,
    "webhooks": deliveries.WEBHOOK,
    "webhook_attempts": deliveries.ATTEMPT,
    "audit_entries": AUDIT,
    "ledger_entries": ENTRY,
}


@dataclass(slots=True)
class Counters:
    """What a wallet's row has to say at the end of the history. Sums in qəpik."""

    expected: int = 0
    received_today: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make: so many payments of these sellers over these wallets, from a moment to another."""

    payments: int
    sellers: Sequence[Seller]
    wallets: Sequence[int]
    begins: datetime
    until: datetime
    ttl: timedelta | None
    zone: tzinfo
    first_payment: int = 1
    first_webhook: int = 1


@dataclass(slots=True)
class History:
    """Rows of all tables. The wallets' counters and the ledger's sums are right once the last batch was taken."""

    plan: Plan
    rng: Random
    counters: dict[int, Counters] = field(default_factory=dict)
    sums: Sums = field(default_factory=dict)
    _later: list[tuple[datetime, int, str, Any]] = field(default_factory=list)
    _made: int = 0
    _webhooks: int = 0

    def batches(self) -> Iterator[Rows]:
        """What was made together. Of a payment's changes only those that had happened when the batch's last payment
        was opened: the others come with a later one."""
        self.counters = {pk: Counters() for pk in self.plan.wallets}
        payments = []
        for serial in range(self.plan.payments):
            payments.append(self._payment(serial))
            if len(payments) == BATCH or serial + 1 == self.plan.payments:
                last = self._opened_at(serial) if serial + 1 < self.plan.payments else None
                yield {"payments": payments, **self._happened_by(last)}
                payments = []

    def _opened_at(self, serial: int) -> datetime:
        """Evenly over the time, but that the nights are quiet."""
        seconds = (self.plan.until - self.plan.begins).total_seconds()
        even = seconds * (serial + 0.5) / self.plan.payments
        wave = sin(2 * pi * even / DAY) * min(DAY / 8, seconds / 20)
        return self.plan.begins + timedelta(seconds=min(max(even + wave, 0.0), seconds))

    def _payment(self, serial: int) -> tuple[Any, ...]:
        plan, rng = self.plan, self.rng
        seller = plan.sellers[int(rng.random() * len(plan.sellers))]
        wallet = plan.wallets[serial % len(plan.wallets)]  # the least recently used one
        opened_at, pk, payment_id = self._opened_at(serial), plan.first_payment + serial, seller.payment_id(serial)
        life = Life(people.amount(rng), opened_at, plan.ttl)
        life.play(f"merchant:{seller.merch_id}", opened_at, plan.until, rng, serial)
        self._count(wallet, opened_at, life)
        created, written, read = seller.create_time(opened_at, rng)
        self._note(seller, pk, payment_id, wallet, life)
        self._enter(seller, pk, periods.floor(created), life)
        who = people.payer(rng, max(plan.payments // 3, 1))
        opened = text(opened_at)
        due, closed = life.due_at and text(life.due_at), life.closed_at and text(life.closed_at)
        checking = life.checking_since and text(life.checking_since)
        state = (life.sum, life.received, life.status.value, life.cause, life.version, seller.url)
        times = (text(created), written, int(read), opened, due, closed, checking, text(life.holds_sum_until))
        return (pk, seller.pk, payment_id, wallet, who, payers.digits(who), *state, *times)

    def _count(self, wallet: int, opened_at: datetime, life: Life) -> None:
        zone, counted = self.plan.zone, self.counters[wallet]
        counted.expected += life.expected
        counted.last_used_at = opened_at
        if life.transfers and self.plan.until - life.transfers[-1].at < timedelta(days=1):
            today = day_of(self.plan.until, zone)
            live = (came.sum for came in life.transfers if not came.voided_at and day_of(came.at, zone) == today)
            counted.received_today += sum(live)

    def _note(self, seller: Seller, pk: int, payment_id: str, wallet: int, life: Life) -> None:
        """Keeps what happens to the payment until its time has come."""
        for came in life.transfers:
            row = (pk, wallet, came.sum, came.reference, None if came.voided_at else came.reference, text(came.at))
            voided = came.voided_at and text(came.voided_at)
            self._keep(came.at, "transfers", (*row, came.by, voided, voided and people.ADMIN, came.reason))
        begins = None
        for told in life.told:
            payment = (pk, payment_id, life.sum)
            begins = max(told[0], begins) if begins else told[0]
            sent = delivered(seller, payment, told, self._made, self.plan.until, begins, self.rng)
            self._keep(told[0], "webhooks", sent)
            for one in sent.attempts:
                self._keep(one[0], "webhook_attempts", (sent, one))
            begins = sent.closed_at
        for at, actor, action, details in life.noted:
            self._keep(at, "audit_entries", (text(at), actor, action, pk, details))

    def _enter(self, seller: Seller, pk: int, hour: datetime, life: Life) -> None:
        number = periods.hours(hour)
        for at, version, moved in life.moved:
            self._keep(at, "ledger_entries", (pk, version, text(at), number, *moved))
        self.sums[seller.pk, hour] = total(self.sums.get((seller.pk, hour), NOTHING), life.standing)

    def _keep(self, at: datetime, table: str, row: Any) -> None:
        self._made += 1
        self._later.append((at, self._made, table, row))

    def _happened_by(self, moment: datetime | None) -> Rows:
        """All that has happened by now, in its order, with the webhooks' keys; without a moment all there is."""
        self._later.sort()
        end = len(self._later)
        while moment is not None and end and self._later[end - 1][0] > moment:
            end -= 1
        rows: Rows = {name: [] for name in COLUMNS if name != "payments"}
        for _, _, table, row in self._later[:end]:
            rows[table].append(self._row(row) if table.startswith("webhook") else row)
        del self._later[:end]
        return rows

    def _row(self, kept: Any) -> tuple[Any, ...]:
        if isinstance(kept, Delivery):
            kept.pk = self.plan.first_webhook + self._webhooks
            self._webhooks += 1
            return kept.row()
        sent, (at, *rest) = kept
        return (sent.pk, text(at), *rest)
