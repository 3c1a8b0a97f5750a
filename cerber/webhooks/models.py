"""The outbox: events on their way to merchants, the endpoints they go to, the attempts made, the workers alive."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Dialect,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    column,
    table,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from cerber.db.tables import MYSQL_TABLE, Base, BigId, one_of
from cerber.webhooks.kinds import Kind, WebhookState
from cerber.webhooks.outcomes import Outcome

MOST_UNFORESEEN = 20  # attempts of one event that failed as nobody foresaw, before it is given up

# The payments' room stands above this one. Read of a payment here is the id that its merchant gave it, and where the
# events of those that are open will go.
PAYMENTS = table(
    "payments",
    column("id", BigInteger),
    column("payment_id", String),
    column("merchant_id", BigInteger),
    column("status", String),
    column("callback_url", String),
)


class Endpoint(Base):
    """A merchant's scheme, host and port: what is slow or down together."""

    __tablename__ = "endpoints"
    __table_args__ = (UniqueConstraint("merchant_id", "origin"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"))
    origin: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime]


class Breaker(Base):
    """An endpoint that has been failing: there is a row for it from the first failure in a row to the next success.

    From `held_since` on its events are held, and one of them is sent as a probe when `probe_at` has come. `probes`
    counts those that failed. `why` says how the endpoint failed last.
    """

    __tablename__ = "breakers"
    __table_args__ = (
        Index("ix_breakers_probe_at", "probe_at"),
        CheckConstraint("failures > 0", name="failures"),
        CheckConstraint("probes >= 0", name="probes"),
        CheckConstraint("(held_since IS NULL) = (probe_at IS NULL)", name="held"),
        MYSQL_TABLE,
    )

    endpoint_id: Mapped[int] = mapped_column(BigId, ForeignKey("endpoints.id"), primary_key=True, autoincrement=False)
    failures: Mapped[int]
    probes: Mapped[int] = mapped_column(default=0)
    why: Mapped[str] = mapped_column(String(250))
    held_since: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]


class Webhook(Base):
    """One event. URL, body and `event_id` are fixed when it happens; a retry needs nothing else.

    A `due` event may be claimed from `due_at` on. A claim moves `due_at` to the end of its lease and sets `lease`, so
    what a dead worker held comes free by itself. `scheduled_at` is when `due_at` was written: one from the future
    tells that a clock was set back. `not_before` is what the receiver's Retry-After asked for. `by_hand` marks one
    that was sent again: it waits for no other. `reopened` is set if it was closed before that: then no other waits
    for it, either. `queued_at` is when it was put in or sent again. `once_key` is unique while a balance webhook may
    not be repeated. `unforeseen` counts the attempts that ended in an exception nobody foresaw: they are ours, and
    none of `attempts`.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_state_due_at", "state", "due_at"),
        Index("ix_webhooks_state_endpoint_id_due_at", "state", "endpoint_id", "due_at"),
        Index("ix_webhooks_endpoint_id", "endpoint_id"),
        Index("ix_webhooks_merchant_id", "merchant_id"),
        Index("ix_webhooks_payment_id_state", "payment_id", "state"),
        CheckConstraint("state IN ('due', 'delivered', 'given_up')", name="state"),
        CheckConstraint("kind IN ('accept', 'cancel', 'change_sum', 'balance')", name="kind"),
        CheckConstraint("(kind = 'balance') = (payment_id IS NULL)", name="about"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    event_id: Mapped[str] = mapped_column(String(40), unique=True)
    merchant_id: Mapped[int] = mapped_column(BigId, ForeignKey("merchants.id"))
    endpoint_id: Mapped[int] = mapped_column(BigId, ForeignKey("endpoints.id"))
    payment_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("payments.id"))
    kind: Mapped[Kind] = mapped_column(one_of(Kind))
    url: Mapped[str] = mapped_column(String(2048))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[WebhookState] = mapped_column(one_of(WebhookState))
    due_at: Mapped[datetime]
    scheduled_at: Mapped[datetime]
    not_before: Mapped[datetime | None]
    queued_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(32))
    attempts: Mapped[int] = mapped_column(default=0)
    unforeseen: Mapped[int] = mapped_column(default=0)
    by_hand: Mapped[bool] = mapped_column(default=False)
    reopened: Mapped[bool] = mapped_column(default=False)
    once_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class OutcomeText(TypeDecorator[Outcome]):
    """An outcome as its text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Outcome | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Outcome | None:
        return None if value is None else Outcome.read(value)


class WebhookAttempt(Base):
    """One try to deliver. `headers` are those sent, as JSON, without their signatures."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (Index("ix_webhook_attempts_webhook_id", "webhook_id"), MYSQL_TABLE)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(BigId, ForeignKey("webhooks.id"))
    at: Mapped[datetime]
    milliseconds: Mapped[int]
    outcome: Mapped[Outcome] = mapped_column(OutcomeText(20))
    detail: Mapped[str] = mapped_column(String(200))
    answer: Mapped[str] = mapped_column(Text)
    headers: Mapped[str] = mapped_column(String(500))


class Figure(Base):
    """A running total for `/metrics`, which all workers add to. Times are totals of milliseconds."""

    __tablename__ = "figures"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    label: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class Worker(Base):
    """A `flask deliver`: when it was last alive, and when it said goodbye, if it did."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime] = mapped_column(index=True)
    stopped_at: Mapped[datetime | None]
