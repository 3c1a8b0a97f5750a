"""What travels: an endpoint is ready, a claim on one of its events goes out, a result comes back. Values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cerber.webhooks.kinds import Kind
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.worker import retries

if TYPE_CHECKING:
    from cerber.merchants.keyring import Keys
    from cerber.webhooks.client import Attempt


@dataclass(frozen=True, slots=True)
class Ready:
    """An endpoint with something to send, and the secrets of its owner, which sign it. `failing`: it has failed
    lately; `held`: just one event may go, as a probe."""

    endpoint_id: int
    merchant_id: int
    keys: Keys = field(repr=False)
    failing: bool
    held: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """An event that this worker may send until `lease_ends`. `due_at` is when it was due before the claim."""

    id: int
    event_id: str
    merchant_id: int
    endpoint_id: int
    kind: Kind
    url: str
    body: str
    attempts: int
    unforeseen: int
    by_hand: bool
    created_at: datetime
    due_at: datetime
    lease: str
    lease_ends: datetime
    probe: bool
    keys: Keys = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt. `headers` are those sent, without signatures; `milliseconds` is how long it took."""

    claim: Claim
    at: datetime
    milliseconds: int
    headers: Mapping[str, str]
    outcome: Outcome
    detail: str
    answer: bytes
    retry_after: str | None

    @classmethod
    def of(cls, claim: Claim, headers: Mapping[str, str], attempt: Attempt, ended: datetime) -> Result:
        """Of an attempt that ended then. The signatures among its headers are not kept."""
        return cls(
            claim=claim,
            at=ended - timedelta(seconds=attempt.seconds),
            milliseconds=round(attempt.seconds * 1000),
            headers={name: value for name, value in headers.items() if "signature" not in name.lower()},
            outcome=Outcome(attempt.status, attempt.failure),
            detail=attempt.detail,
            answer=attempt.answer,
            retry_after=attempt.retry_after,
        )

    @property
    def well(self) -> bool:
        """Whether the endpoint is, whatever it said of this one event."""
        speaks_of_endpoint = self.outcome.failure is not None and retries.speaks_of_endpoint(self.outcome.status)
        return not (self.outcome.ours or speaks_of_endpoint)

    @property
    def costs_attempt(self) -> bool:
        """Whether it is one of the event's attempts. A failure on our own side is none, nor is a probe that failed as
        its endpoint does."""
        return self.well or not (self.outcome.ours or self.claim.probe)
