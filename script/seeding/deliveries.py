"""The webhooks of a seeded history and the attempts to deliver them. All of it is over: nothing is left to send."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from cerber.config import RETRY_SCHEDULE
from cerber.webhooks import bodies
from cerber.webhooks.kinds import Kind
from seeding.people import Seller

WEBHOOK = (
    "id",
    "event_id",
    "merchant_id",
    "endpoint_id",
    "payment_id",
    "kind",
    "url",
    "body",
    "state",
    "due_at",
    "scheduled_at",
    "queued_at",
    "attempts",
    "by_hand",
    "reopened",
    "created_at",
    "closed_at",
)
ATTEMPT = (
    "webhook_id",
    "at",
    "milliseconds",
    "outcome",
    "detail",
    "answer",
    "headers",
)
LEASE = timedelta(seconds=28)
_FAILED = (
    ("503", "", "Service Unavailable"),
    ("500", "", "<h1>Internal Server Error</h1>"),
    ("timeout", "no answer in time", ""),
    ("refused", "connection refused", ""),
    ("dns", "the name can't be resolved", ""),
)


class Delivery:
    """One webhook and its attempts. Its key is given when its turn comes: keys rise with time."""

    __slots__ = ("attempts", "closed_at", "pk", "values")

    def __init__(self, values: tuple[Any, ...], attempts: list[tuple[Any, ...]], closed_at: datetime) -> None:
        self.pk = 0
        self.values = values
        self.attempts = attempts
        self.closed_at = closed_at

    def row(self) -> tuple[Any, ...]:
        return (self.pk, *self.values)


def delivered(
    seller: Seller,
    payment: tuple[int, str, int],
    told: tuple[datetime, Kind, int],
    serial: int,
    until: datetime,
    begins: datetime,
    rng: Random,
) -> Delivery:
    """The webhook about a payment (key, id, sum), sent from `begins` on, when those before it are closed."""
    created_at, kind, received = told
    payment_pk, payment_id, total = payment
    event_id = f"evt_{serial:010x}{int(rng.random() * 2**64):016x}"
    tries, state = _tries(begins, until, event_id, rng)
    last = tries[-1][0]
    closed_at = last + timedelta(milliseconds=tries[-1][1] + 2)
    body = bodies.webhook_body(kind, payment_id, received, total)
    made, ended, claimed, free = map(text, (created_at, closed_at, last, last + LEASE))
    values = (event_id, seller.pk, seller.endpoint_pk, payment_pk, kind.value, seller.url, body)
    return Delivery((*values, state, free, claimed, made, len(tries), 0, 0, made, ended), tries, closed_at)


def text(moment: datetime) -> str:
    """A moment in UTC as both databases take it, with microseconds. Four times as fast as `isoformat`."""
    day, minute = _day(moment.toordinal()), _MINUTES[moment.hour * 60 + moment.minute]
    return f"{day} {minute}:{moment.second:02}.{moment.microsecond:06}"


_MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]


@cache
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def _tries(begins: datetime, until: datetime, event_id: str, rng: Random) -> tuple[list[tuple[Any, ...]], str]:
    """When each attempt was, how many milliseconds it took and what came of it; and the state that it led to."""
    lot = rng.random()
    failures = 0 if lot < 0.95 else len(RETRY_SCHEDULE) if lot > 0.99 else 1 + int((lot - 0.95) * 100)
    if begins + timedelta(seconds=sum(RETRY_SCHEDULE[: failures + 1])) > until:
        failures = 0
    at, tries = begins + timedelta(seconds=rng.random() / 2), []
    for number in range(failures):
        at += timedelta(seconds=RETRY_SCHEDULE[number])
        tries.append((at, 15_000 if lot > 0.994 else 40, *_FAILED[number % 5], _headers(event_id, at)))
    if failures == len(RETRY_SCHEDULE):
        return tries, "given_up"
    at += timedelta(seconds=RETRY_SCHEDULE[failures])
    tries.append((at, 20 + int(rng.random() ** 4 * 900), "200", "", "ok", _headers(event_id, at)))
    return tries, "delivered"


def _headers(event_id: str, at: datetime) -> str:
    kept = f'"webhook-id": "{event_id}", "webhook-timestamp": "{int(at.timestamp())}"'
    return f'{{"Content-Type": "application/json", {kept}}}'
