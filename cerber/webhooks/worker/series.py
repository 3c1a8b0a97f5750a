"""The rules of the figures (`services/figures.py` keeps the table): names, labels and buckets. Pure.

All of it is running totals of whole numbers, which many workers can add up in one table. A histogram is a total for
each bucket, of what fell between the bound before and its own, and one of all its milliseconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cerber.webhooks.kinds import Kind
from cerber.webhooks.outcomes import Outcome

Key = tuple[str, str]  # name and label

EVENTS = "events"  # by kind
ATTEMPTS = "attempts"  # by outcome
FIRST_ATTEMPT = "first_attempt"  # by bucket: from an event's commit to its first attempt
DELIVERY = "delivery"  # by bucket: from an event's commit to the answer that took it
MILLISECONDS = "milliseconds"  # by histogram

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400, math.inf)  # seconds
_LABELS = tuple("+Inf" if math.isinf(bound) else f"{bound:g}" for bound in BOUNDS)


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt. `waited` and `took` are seconds: from the event's commit to the attempt, and what that took.

    `first` marks the event's first attempt, `by_hand` an event that was sent again.
    """

    kind: Kind
    outcome: Outcome
    waited: float
    took: float
    first: bool
    by_hand: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many took so long at most, for each bound and its label; and the seconds of all."""

    buckets: tuple[tuple[str, int], ...]
    seconds: float


def tally(counts: Counter[Key], attempt: Attempted) -> None:
    """Counts an attempt. An event counts at its first, and once; one sent again by hand has no new latency."""
    counts[ATTEMPTS, attempt.outcome.group] += 1
    if attempt.by_hand:
        return
    if attempt.first:
        counts[EVENTS, attempt.kind] += 1
        _observe(counts, FIRST_ATTEMPT, attempt.waited)
    if attempt.outcome.failure is None:
        _observe(counts, DELIVERY, attempt.waited + attempt.took)


def labelled(totals: Mapping[Key, int], name: str, known: tuple[str, ...]) -> dict[str, int]:
    """The totals of a name by label: the known labels always, from 0 on, so that a first one is seen as a rise."""
    found = {label: value for (of, label), value in totals.items() if of == name}
    return dict.fromkeys(known, 0) | dict(sorted(found.items()))


def histogram(totals: Mapping[Key, int], name: str) -> Histogram:
    """Cumulative, over today's bounds: totals that were kept under other ones fall where they belong."""
    kept = [(float(label), value) for (of, label), value in totals.items() if of == name]
    buckets = (sum(value for bound, value in kept if bound <= most) for most in BOUNDS)
    return Histogram(tuple(zip(_LABELS, buckets, strict=True)), totals.get((MILLISECONDS, name), 0) / 1000)


def _observe(counts: Counter[Key], name: str, seconds: float) -> None:
    seconds = max(seconds, 0.0)  # the clocks of two machines may differ
    counts[name, _LABELS[bisect_left(BOUNDS, seconds)]] += 1
    counts[MILLISECONDS, name] += round(seconds * 1000)
