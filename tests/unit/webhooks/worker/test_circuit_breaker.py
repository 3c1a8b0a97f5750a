"""When events are held and probed: pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cerber.config import RETRY_SCHEDULE as SCHEDULE
from cerber.webhooks.worker.circuit_breaker import TRIPS_AT, Breaker, after_failure, distance, put_off

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIDDLE = 0.5  # no jitter


def failed(before: Breaker | None, *, probe: bool = False, at: datetime = AT) -> Breaker:
    return after_failure(before, "connection refused", at, probe=probe, schedule=SCHEDULE, chance=MIDDLE)


def held() -> Breaker:
    breaker = None
    for _ in range(TRIPS_AT):
        breaker = failed(breaker)
    assert breaker is not None
    return breaker


def test_it_holds_at_the_fifth_failure_in_a_row() -> None:
    breaker = None
    for count in range(1, TRIPS_AT):
        breaker = failed(breaker)
        assert (breaker.failures, breaker.held_since, breaker.probe_at) == (count, None, None)
    assert failed(breaker) == Breaker(5, 0, "connection refused", AT, AT + timedelta(seconds=5))


def test_probes_grow_apart_to_five_minutes() -> None:
    breaker, distances = held(), []
    for _ in range(6):
        breaker = failed(breaker, probe=True)
        assert breaker.probe_at is not None
        distances.append((breaker.probe_at - AT).total_seconds())
    assert distances[:2] == [30, 120]
    assert distances[2:] == [250] * 4


@pytest.mark.parametrize("probes", range(20))
def test_no_two_probes_are_more_than_five_minutes_apart(probes: int) -> None:
    assert distance(probes, SCHEDULE, 1.0) <= 300 + 1e-9


def test_a_schedule_of_one_attempt_still_has_probes() -> None:
    assert 0 < distance(0, (0,), MIDDLE) <= 300


def test_what_fails_while_held_moves_no_probe_and_no_beginning() -> None:
    before = held()
    after = failed(before, at=AT + timedelta(seconds=3))
    assert (after.held_since, after.probe_at, after.failures) == (before.held_since, before.probe_at, 6)


def test_a_probe_that_told_nothing_is_put_off_by_the_same_distance() -> None:
    later = AT + timedelta(seconds=60)
    put = put_off(held(), later, schedule=SCHEDULE, chance=MIDDLE)
    assert (put.probes, put.probe_at) == (0, later + timedelta(seconds=5))
