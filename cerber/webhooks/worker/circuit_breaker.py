"""The rules of breakers (`breakers.py` keeps the rows): when an endpoint's events are held, and when one of
them is sent to see whether it is well again. Pure: no clock and no database.

A breaker is there from an endpoint's first failure in a row to its next answer. At the fifth failure it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cerber.webhooks.worker.retries import JITTER

TRIPS_AT = 5  # failures in a row
LONGEST_DISTANCE = 300.0  # seconds between two probes
HELD_AT_MOST = timedelta(days=7)  # then an event is given up


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row and why, since when events are held, and when the next probe is due."""

    failures: int
    probes: int
    why: str
    held_since: datetime | None
    probe_at: datetime | None


def after_failure(
    before: Breaker | None, why: str, at: datetime, *, probe: bool, schedule: tuple[float, ...], chance: float
) -> Breaker:
    """What a failure that speaks of the endpoint makes of its breaker. `chance` (0 to 1) spreads the probes."""
    failures = before.failures + 1 if before else 1
    probes = before.probes + probe if before else 0
    held_since = before.held_since if before else None
    probe_at = before.probe_at if before else None
    if held_since is None and failures >= TRIPS_AT:
        held_since, probes = at, 0
    if held_since is not None and (probe or probe_at is None):
        probe_at = at + timedelta(seconds=distance(probes, schedule, chance))
    return Breaker(failures, probes, why, held_since, probe_at)


def put_off(before: Breaker, at: datetime, *, schedule: tuple[float, ...], chance: float) -> Breaker:
    """After a probe that told nothing of the endpoint: the same distance again."""
    return replace(before, probe_at=at + timedelta(seconds=distance(before.probes, schedule, chance)))


def distance(probes: int, schedule: tuple[float, ...], chance: float) -> float:
    """Seconds to the next probe after so many that failed: as retries are, but never more than five minutes."""
    steps = schedule[1:] or (LONGEST_DISTANCE,)
    seconds = min(steps[min(probes, len(steps) - 1)], LONGEST_DISTANCE / (1 + JITTER))
    return seconds * (1 + JITTER * (2 * chance - 1))
