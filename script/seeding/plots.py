"""What becomes of one payment: a plot drawn by lot, played by the table of contract section 3."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random

from cerber import money
from cerber.errors import MoneyReceived, NotPossible, PaymentClosed
from cerber.ledger.accounts import NOTHING, Accounts, change
from cerber.payments.changes import FOREVER, SUM_HELD_AFTER
from cerber.payments.standing import standing
from cerber.payments.states import OPEN, Event, Facts, Status, Step, decide, is_due
from cerber.webhooks.kinds import Kind
from seeding.people import ADMIN, OPERATORS

PAID, CANCELLED = Event.MERCHANT_ACCEPT, Event.MERCHANT_CANCEL
CAME, ACCEPTED, SETTLED = Event.TRANSFER, Event.OPERATOR_ACCEPT, Event.SETTLE
WRONG = "recorded on the wrong payment"
REFUSED, VOIDED = Event.OPERATOR_CANCEL, Event.VOID
ALL, PART, REST, MORE = 1.0, 0.5, 2.0, 1.25  # what a transfer brings: of the sum, but for REST


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens so many minutes after the act before it, at the least and at the most."""

    event: Event
    least: float
    most: float
    brings: float = 0.0


_REPORTED = Act(PAID, 1, 15)
_LATE = (90, 4000)
# How many of a hundred payments go which way. Nobody does anything: they expire.
PLOTS: tuple[tuple[float, tuple[Act, ...]], ...] = (
    (37, (_REPORTED, Act(ACCEPTED, 1, 25))),
    (1, (_REPORTED, Act(ACCEPTED, 600, 4000))),  # waits for a day or two
    (14, (_REPORTED, Act(CAME, 1, 25, ALL))),
    (12, (Act(CAME, 2, 50, ALL),)),
    (6, (_REPORTED, Act(CAME, 1, 20, PART), Act(CAME, 3, 60, REST))),
    (3, (_REPORTED, Act(CAME, 1, 20, PART), Act(SETTLED, 10, 600))),
    (2, (_REPORTED, Act(CAME, 1, 20, MORE))),
    (12, ()),
    (5, (Act(CANCELLED, 1, 50),)),
    (2, (_REPORTED, Act(REFUSED, 20, 900))),
    (1.5, (Act(CANCELLED, 70, 600),)),  # expired by then: the merchant owns the cancel
    (1, (Act(PAID, 70, 900), Act(ACCEPTED, 1, 60))),  # revived
    (1.5, (Act(CAME, *_LATE, ALL),)),
    (0.5, (Act(CAME, *_LATE, PART), Act(SETTLED, 10, 900))),
    (0.5, (Act(CAME, *_LATE, PART), Act(VOIDED, 5, 300))),  # cancelled once more
    (0.6, (_REPORTED, Act(CAME, 1, 20, PART), Act(VOIDED, 2, 60), Act(CAME, 2, 60, ALL))),
    (0.4, (_REPORTED, Act(CAME, 1, 20, PART), Act(VOIDED, 2, 60), Act(REFUSED, 2, 600))),
)
_BOUNDS = list(accumulate(weight for weight, _ in PLOTS))


@dataclass(slots=True)
class Came:
    """A transfer, recorded and perhaps voided. The sum is in qəpik."""

    sum: int
    reference: str | None
    at: datetime
    by: str
    voided_at: datetime | None = None
    reason: str | None = None


class Life:
    """A payment from its opening on: what it is, its transfers, what its merchant is told, what the log notes and
    what moves in the ledger."""

    def __init__(self, total: int, opened_at: datetime, ttl: timedelta | None) -> None:
        self.sum = total
        self.received = 0
        self.status = Status.PENDING
        self.cause: str | None = None
        self.version = 1
        self.due_at = opened_at + ttl if ttl else None
        self.closed_at: datetime | None = None
        self.checking_since: datetime | None = None
        self.holds_sum_until = self.due_at + SUM_HELD_AFTER if self.due_at else FOREVER
        self.transfers: list[Came] = []
        self.told: list[tuple[datetime, Kind, int]] = []
        self.noted: list[tuple[datetime, str, str, str]] = []
        self.moved: list[tuple[datetime, int, Accounts]] = [(opened_at, 1, self.standing)]

    @property
    def expected(self) -> int:
        """What its wallet still waits for, in qəpik."""
        return max(self.sum - self.received, 0) if self.status in OPEN else 0

    @property
    def standing(self) -> Accounts:
        """Where its sum stands, in qəpik."""
        return standing(self.status, self.sum, self.received)

    def play(self, merchant: str, opened_at: datetime, until: datetime, rng: Random, serial: int) -> None:
        """A plot, as far as it gets by `until`. What the rules refuse does not happen."""
        at = opened_at
        for act in PLOTS[bisect(_BOUNDS, rng.random() * _BOUNDS[-1])][1]:
            at += timedelta(minutes=act.least + rng.random() * (act.most - act.least))
            if at > until:
                break
            self._expire(at, rng)
            try:
                self._act(act, at, merchant, rng, serial)
            except (NotPossible, PaymentClosed, MoneyReceived):
                continue
        self._expire(until, rng)

    def _expire(self, at: datetime, rng: Random) -> None:
        if self.due_at and is_due(self.status, self.due_at, at):
            late = min(timedelta(seconds=rng.random()), at - self.due_at)
            self._become(self._decided(Event.EXPIRE, self.due_at + late), Event.EXPIRE, "expiry", self.due_at + late)

    def _act(self, act: Act, at: datetime, merchant: str, rng: Random, serial: int) -> None:
        if act.event is VOIDED:
            self._void(at)
            return
        actor = merchant if act.event in (PAID, CANCELLED) else OPERATORS[int(rng.random() * len(OPERATORS))]
        brought = self.sum - self.received if act.brings == REST else int(self.sum * act.brings)
        step = self._decided(act.event, at, max(brought, 1))
        if step.transfer is not None:
            told = act.event is CAME and rng.random() < 0.8
            reference = f"MT{serial:09}{len(self.transfers) or ''}" if told else None
            self.transfers.append(Came(step.transfer, reference, at, actor))
        self._become(step, act.event, actor, at)

    def _void(self, at: datetime) -> None:
        transfer = self.transfers[-1]
        step = self._decided(VOIDED, at, transfer.sum)
        transfer.voided_at, transfer.reason = at, WRONG
        self._become(step, None, ADMIN, at)
        self.noted.append((at, ADMIN, "void", f'{{"sum": "{money.text(transfer.sum)}", "reason": "{WRONG}"}}'))

    def _decided(self, event: Event, at: datetime, brought: int = 0) -> Step:
        known = Facts(self.status, self.sum, self.received, self.cause, bool(self.transfers), self.due_at)  # type: ignore[arg-type]
        return decide(event, known, at, brought)

    def _become(self, step: Step, event: Event | None, actor: str, at: datetime) -> None:
        if (self.status, self.received, self.cause) == (step.status, step.received, step.cancel_cause):
            return
        if self.status != step.status:
            is_open = step.status in OPEN
            self.closed_at = None if is_open else at
            self.checking_since = at if step.status is Status.CONFIRMING else None
            self.holds_sum_until = FOREVER if is_open else at + SUM_HELD_AFTER
        stood = self.standing
        self.status, self.received, self.cause = step.status, step.received, step.cancel_cause
        self.version += 1
        if (moved := change(stood, self.standing)) != NOTHING:
            self.moved.append((at, self.version, moved))
        if step.webhook is not None:
            self.told.append((at, step.webhook, step.received))
        if event is not None:
            noted = f'{{"status": "{step.status.value}", "received": "{money.text(step.received)}"}}'
            self.noted.append((at, actor, event.value, noted))
