"""What happens after an attempt to deliver a webhook: contract section 5, as pure functions.

Times are aware datetimes in UTC, delays are seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

JITTER = 0.2
LONGEST_RETRY_AFTER = 86400

_SECONDS = re.compile(r"[0-9]+")


def next_attempt(
    attempts: int,
    status: int | None,
    retry_after: str | None,
    now: datetime,
    *,
    schedule: tuple[float, ...],
    chance: float,
) -> datetime | None:
    """When a failed event is tried again, or None: it is given up.

    `attempts` counts the one that just failed, `status` is its HTTP status if there was one, `chance` is a random
    number from 0 to 1 that spreads the retries.
    """
    if status == 410 or attempts >= len(schedule):
        return None
    delay = schedule[attempts] * (1 + JITTER * (2 * chance - 1))
    return now + timedelta(seconds=max(delay, asked_wait(status, retry_after, now)))


def asked_wait(status: int | None, retry_after: str | None, now: datetime) -> float:
    """How many seconds the receiver asked not to be tried again: only a 429 and a 503 may ask."""
    return retry_after_seconds(retry_after, now) if status in (429, 503) else 0.0


def retry_after_seconds(header: str | None, now: datetime) -> float:
    """How long a `Retry-After` header asks to wait: 0 where there is none, it is past or can't be read."""
    header = (header or "").strip()
    if _SECONDS.fullmatch(header):
        wait = float(header[:12]) if len(header) <= 12 else float(LONGEST_RETRY_AFTER)
    else:
        wait = _until(header, now)
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER)


def speaks_of_endpoint(status: int | None) -> bool:
    """Whether a failure tells something of the whole endpoint and not of one order: contract section 5.

    None stands for a failure of the network: no answer came.
    """
    return status is None or status in (408, 429) or status >= 500


def _until(header: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
