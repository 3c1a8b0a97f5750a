"""Time as the sums of the ledger cut it: hours, days, and blocks of 32 and of 1,024 days, in UTC. Pure.

An interval of any length is a few parts of an hour at its ends, and whole periods between them: as many of the long
ones as fit, so that all of time costs no more to add up than a day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

WIDTHS = (1, 24, 24 * 32, 24 * 32 * 32)
"""How many hours the periods are long; each divides the next."""

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Run(NamedTuple):
    """Periods of one width in a row, from `start` up to `end`, which is not part of it. The width is in hours; 0 is a
    part of an hour, of which there is no sum."""

    width: int
    start: datetime
    end: datetime


class Cover(NamedTuple):
    """What an interval is made of: each moment lies in just one of them."""

    cuts: list[Run]
    runs: list[Run]


def floor(moment: datetime, width: int = 1) -> datetime:
    """When the period began in which the moment lies."""
    return _EPOCH + (moment - _EPOCH) // (width * _HOUR) * (width * _HOUR)


def end_of(moment: datetime, width: int = 1) -> datetime:
    """When the period ends in which the moment lies: the first instant after it."""
    return floor(moment, width) + width * _HOUR


def hours(moment: datetime) -> int:
    """The whole hours from 1970 to the moment; below zero for one before that."""
    return (moment - _EPOCH) // _HOUR


def hour(number: int) -> datetime:
    """When the hour of that number began."""
    return _EPOCH + number * _HOUR


def cover(start: datetime, end: datetime) -> Cover:
    """The interval from `start` up to `end`, which is not part of it: two cuts at most, and two runs of a width."""
    found, width = [], 0
    for wider in WIDTHS:
        first, last = _ceiling(start, wider), floor(end, wider)
        if first >= last:
            break
        found += [Run(width, start, first), Run(width, last, end)]
        start, end, width = first, last, wider
    found = [run for run in (*found, Run(width, start, end)) if run.start < run.end]
    return Cover([run for run in found if not run.width], [run for run in found if run.width])


def periods(moment: datetime) -> list[tuple[int, datetime]]:
    """The width and the start of each period in which the moment lies, the shortest first."""
    return [(width, floor(moment, width)) for width in WIDTHS]


def _ceiling(moment: datetime, width: int) -> datetime:
    return -((_EPOCH - moment) // (width * _HOUR)) * (width * _HOUR) + _EPOCH


# Where an interval without a start begins and one without an end ends: around all years of contract section 1, at
# moments at which periods of all widths meet.
FIRST = floor(datetime(1969, 1, 1, tzinfo=UTC), WIDTHS[-1])
LAST = floor(datetime(3003, 1, 1, tzinfo=UTC), WIDTHS[-1])
