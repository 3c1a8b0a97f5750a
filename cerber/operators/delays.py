"""How long who failed to log in waits before the next try is looked at. Pure.

A few failures cost nothing, then each doubles the wait: a person hardly notices, and who guesses gets some hundred
tries a day at one name, of the billions that a password needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

REMEMBERED = timedelta(days=1)  # how long a failure counts
LONGEST = timedelta(minutes=15)

FREE_OF_NAME = 5  # failures that cost nothing, of one name from strange devices, or of one name on one known device
FREE_OF_ADDRESS = 20  # of one address, over all names

MINUTE = timedelta(minutes=1)
MOST_A_MINUTE = 60  # failures of all strangers together: each may write a row here and one in the audit log


@dataclass(frozen=True, slots=True)
class Failures:
    """How often it failed, and when it did last."""

    number: int
    last: datetime | None

    def wait(self, free: int, at: datetime) -> timedelta:
        """How long until the next try: never longer than the whole delay, whatever the clocks say."""
        if self.last is None or self.number < free:
            return timedelta()
        delay = min(timedelta(seconds=2.0 ** min(self.number - free, 16)), LONGEST)
        return min(max(self.last + delay - at, timedelta()), delay)


def wait_of_all(number: int, oldest: datetime | None, at: datetime) -> timedelta:
    """How long until one more of all strangers may fail, by the last minute's failures and the oldest of them."""
    if oldest is None or number < MOST_A_MINUTE:
        return timedelta()
    return min(max(oldest + MINUTE - at, timedelta()), MINUTE)


def quarter_of(at: datetime) -> datetime:
    """When the quarter of an hour began that this lies in."""
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
