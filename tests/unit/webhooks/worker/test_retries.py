"""When a webhook is tried again: contract section 5."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cerber.config import RETRY_SCHEDULE as SCHEDULE
from cerber.webhooks.worker.retries import (
    JITTER,
    LONGEST_RETRY_AFTER,
    next_attempt,
    retry_after_seconds,
    speaks_of_endpoint,
)

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
DAY = 86400


def wait(
    attempts: int, status: int | None = 500, retry_after: str | None = None, chance: float = 0.5
) -> float | None:
    again = next_attempt(attempts, status, retry_after, NOW, schedule=SCHEDULE, chance=chance)
    return None if again is None else (again - NOW).total_seconds()


def test_thirteen_attempts_in_about_95_hours() -> None:
    waits = [wait(attempts) for attempts in range(1, 14)]
    assert waits[:-1] == [5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY, DAY, DAY]
    assert waits[-1] is None
    assert wait(99) is None
    assert sum(SCHEDULE) // 3600 == 94  # and 42 minutes: the contract's 95 h


@pytest.mark.parametrize("attempts", range(1, 13))
def test_jitter_spreads_by_a_fifth_and_no_more(attempts: int) -> None:
    plain = SCHEDULE[attempts]
    assert wait(attempts, chance=0) == pytest.approx(plain * (1 - JITTER))
    assert wait(attempts, chance=1) == pytest.approx(plain * (1 + JITTER))
    assert JITTER == 0.2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("007", 7),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 400, DAY),
        ("0" * 400, DAY),
        ("Tue, 24 Nov 2026 10:05:00 GMT", 300),
        ("Tue, 24 Nov 2026 10:05:00 -0000", 300),
        ("Tue, 24 Nov 2026 09:59:00 GMT", 0),
        ("Tue, 24 Nov 2099 10:00:00 GMT", DAY),
        ("Tue, 24 Nov 0001 10:00:00 GMT", 0),
        ("-5", 0),
        ("+5", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("٥", 0),
        ("soon", 0),
        ("Tue, 99 Nov 2026 10:00:00 GMT", 0),
        ("Tue, 24 Nov 2026 10:00:00 +99999999", 0),
        ("\0", 0),
        ("nan", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds
    assert seconds <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "60", 60),
        (503, "60", 60),
        (503, "Tue, 24 Nov 2026 11:00:00 GMT", 3600),
        (503, "9999999", DAY),
        (503, "1", 5),  # never sooner than by the schedule
        (429, "nonsense", 5),
        (429, None, 5),
        (500, "60", 5),  # only 429 and 503 may ask
        (302, "60", 5),
        (None, None, 5),
    ],
)
def test_who_may_ask_to_wait(status: int | None, header: str | None, seconds: float) -> None:
    assert wait(1, status, header) == seconds


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_jitter_never_goes_before_retry_after(chance: float) -> None:
    assert (wait(3, 429, "600", chance) or 0) >= 600


def test_gone_is_given_up_at_once_and_the_last_attempt_whatever_it_asks() -> None:
    assert wait(1, 410, "60") is None
    assert wait(13, 503, "60") is None
    assert next_attempt(1, 500, None, NOW, schedule=(0,), chance=0.5) is None
    assert next_attempt(1, 500, None, NOW, schedule=(0, 7), chance=0.5) == NOW + timedelta(seconds=7)


@pytest.mark.parametrize(
    ("status", "speaks"),
    [
        (None, True),
        (408, True),
        (429, True),
        (500, True),
        (503, True),
        (302, False),
        (400, False),
        (404, False),
        (410, False),
    ],
)
def test_which_failures_tell_of_the_whole_endpoint(status: int | None, speaks: bool) -> None:
    assert speaks_of_endpoint(status) is speaks
