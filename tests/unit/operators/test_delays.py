"""How long who failed to log in waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.operators.delays import (
    FREE_OF_NAME,
    LONGEST,
    MINUTE,
    MOST_A_MINUTE,
    REMEMBERED,
    Failures,
    quarter_of,
    wait_of_all,
)
from tests.support.clock import now

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("number", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (16, 900), (10**6, 900)]
)
def test_a_few_failures_are_free_and_each_more_doubles_the_wait(number: int, seconds: int) -> None:
    moment = now()
    assert Failures(number, moment if number else None).wait(FREE_OF_NAME, moment) == seconds * SECOND


def test_the_wait_is_over_when_its_time_has_passed() -> None:
    moment = now()
    failures = Failures(7, moment)
    assert failures.wait(5, moment + 3 * SECOND) == SECOND
    assert failures.wait(5, moment + 4 * SECOND) == timedelta()
    assert failures.wait(5, moment + REMEMBERED) == timedelta()


@given(st.integers(0, 10**6), st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)))
def test_whatever_the_clocks_say_nobody_waits_longer_than_the_longest(number: int, ago: timedelta) -> None:
    moment = now()
    assert timedelta() <= Failures(number, moment - ago).wait(5, moment) <= LONGEST
    assert timedelta() <= wait_of_all(number, moment - ago, moment) <= MINUTE


def test_who_never_gives_up_gets_some_hundred_tries_a_day_at_a_name() -> None:
    moment, tries, last = now(), 0, None
    ends = moment + REMEMBERED
    while moment < ends:
        moment += Failures(tries, last).wait(FREE_OF_NAME, moment)
        tries, last = tries + 1, moment
    assert tries < 120


def test_what_strangers_can_write_in_an_hour() -> None:
    assert MOST_A_MINUTE * 60 * 2 <= 10_000  # each a row of its own, and one in the audit log


def test_a_quarter_of_an_hour_begins_on_the_clock() -> None:
    moment = now().replace(hour=10, minute=44, second=59)
    assert quarter_of(moment) == moment.replace(minute=30, second=0, microsecond=0)
