"""How an interval is made of periods for which there are sums, and of the hours that it cuts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from cerber.ledger.periods import FIRST, LAST, WIDTHS, Run, cover, floor, hour, hours, periods

HOUR, INSTANT = timedelta(hours=1), timedelta(microseconds=1)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
# in the years 1970 to 2999 of any zone; and where periods meet, give or take an instant
moments = st.builds(
    lambda number, off: hour(number) + off * INSTANT,
    st.integers(-24, 9_029_000) | st.integers(-1, 367).map(lambda block: block * WIDTHS[-1]),
    st.integers(-1, 1) | st.integers(0, HOUR // INSTANT),
)


@given(moments, moments, st.lists(moments, max_size=5))
@example(FIRST, LAST, [])
@example(NEW_YEAR, NEW_YEAR + INSTANT, [NEW_YEAR])
@example(NEW_YEAR - INSTANT, NEW_YEAR + INSTANT, [NEW_YEAR])
def test_each_moment_of_an_interval_lies_in_one_run_and_no_other_does(
    one: datetime, other: datetime, moments: list[datetime]
) -> None:
    start, end = min(one, other), max(one, other)
    cuts, runs = cover(start, end)
    tiles = sorted((*cuts, *runs), key=lambda run: run.start)
    edges = [start, *(run.end for run in tiles)]
    assert [run.start for run in tiles] == edges[:-1]
    assert edges[-1] == end
    for moment in (*moments, start, end, *(run.start for run in tiles)):
        lies = [run for run in tiles if run.start <= moment < run.end]
        assert len(lies) == (start <= moment < end)


@given(moments, moments)
@example(hour(0) + INSTANT, hour(1) + INSTANT)
def test_a_run_begins_and_ends_where_its_periods_do_and_a_cut_holds_no_whole_hour(
    one: datetime, other: datetime
) -> None:
    cuts, runs = cover(min(one, other), max(one, other))
    for run in runs:
        assert floor(run.start, run.width) == run.start
        assert floor(run.end, run.width) == run.end
    assert all(run.end < floor(run.start - INSTANT, 1) + 2 * HOUR for run in cuts)
    assert sum((run.end - run.start for run in cuts), timedelta()) < 2 * HOUR
    assert {run.width for run in cuts} <= {0}


@given(moments, moments)
def test_no_interval_takes_more_than_600_sums(one: datetime, other: datetime) -> None:
    cuts, runs = cover(min(one, other), max(one, other))
    assert len(cuts) <= 2
    assert sum((run.end - run.start) // (run.width * HOUR) for run in runs) <= 600


def test_all_of_time_is_one_run_of_the_longest_periods() -> None:
    assert cover(FIRST, LAST) == ([], [Run(WIDTHS[-1], FIRST, LAST)])


@given(moments)
def test_the_periods_of_a_moment_hold_it_and_each_other(moment: datetime) -> None:
    found = list(periods(moment))
    assert [width for width, _ in found] == list(WIDTHS)
    inner = (moment, moment + INSTANT)
    for width, start in found:
        assert start <= inner[0] < inner[1] <= start + width * HOUR
        inner = (start, start + width * HOUR)


@given(moments)
def test_an_hour_comes_back_as_it_was_kept(moment: datetime) -> None:
    assert hour(hours(floor(moment))) == floor(moment)
