"""What is counted of an attempt, and how totals become histograms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from cerber.webhooks.client.failures import Failure
from cerber.webhooks.kinds import Kind
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.worker import series
from cerber.webhooks.worker.series import Attempted, Key

GOOD = Attempted(Kind.ACCEPT, Outcome(200, None), waited=0.2, took=0.05, first=True, by_hand=False)
FAILED = replace(GOOD, outcome=Outcome(500, Failure.status))


def counted(*attempts: Attempted) -> Counter[Key]:
    counts: Counter[Key] = Counter()
    for attempt in attempts:
        series.tally(counts, attempt)
    return counts


def test_a_first_attempt_that_delivers_counts_in_all_four() -> None:
    assert counted(GOOD) == {
        ("attempts", "2xx"): 1,
        ("events", "accept"): 1,
        ("first_attempt", "0.25"): 1,
        ("milliseconds", "first_attempt"): 200,
        ("delivery", "0.25"): 1,
        ("milliseconds", "delivery"): 250,
    }


def test_an_event_counts_once_however_often_it_is_tried() -> None:
    counts = counted(FAILED, replace(FAILED, first=False, waited=5.0), replace(GOOD, first=False, waited=30.2))
    assert counts["events", "accept"] == 1
    assert series.labelled(counts, "first_attempt", ()) == {"0.25": 1}
    assert series.labelled(counts, "delivery", ()) == {"60": 1}
    assert series.labelled(counts, "attempts", ()) == {"2xx": 1, "5xx": 2}


def test_what_was_sent_again_by_hand_is_an_attempt_and_nothing_else() -> None:
    assert counted(replace(GOOD, by_hand=True)) == {("attempts", "2xx"): 1}


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(-3.0, "0.01"), (0.0, "0.01"), (0.01, "0.01"), (0.0101, "0.025"), (1, "1"), (86400, "86400"), (86401, "+Inf")],
)
def test_a_bound_belongs_to_its_bucket(seconds: float, label: str) -> None:
    assert counted(replace(GOOD, waited=seconds, outcome=Outcome(None, Failure.tls)))["first_attempt", label] == 1


def test_a_histogram_is_cumulative_and_ends_with_the_count_of_all() -> None:
    waits = (0.004, 0.2, 0.2, 7.0, 100_000.0)
    shown = series.histogram(counted(*(replace(FAILED, waited=wait) for wait in waits)), "first_attempt")
    buckets = dict(shown.buckets)
    assert list(buckets)[-1] == "+Inf"
    assert list(buckets.values()) == sorted(buckets.values())
    assert [buckets[label] for label in ("0.01", "0.1", "0.25", "10", "86400", "+Inf")] == [1, 1, 3, 4, 4, 5]
    assert shown.seconds == pytest.approx(sum(waits))


def test_totals_kept_under_other_bounds_fall_where_they_belong() -> None:
    shown = series.histogram({("delivery", "0.07"): 2, ("delivery", "+Inf"): 1}, "delivery")
    buckets = dict(shown.buckets)
    assert (buckets["0.05"], buckets["0.1"], buckets["+Inf"]) == (0, 2, 3)


def test_known_labels_are_there_from_the_start() -> None:
    totals = {("events", "cancel"): 3, ("attempts", "2xx"): 9}
    assert series.labelled(totals, "events", ("accept", "cancel")) == {"accept": 0, "cancel": 3}
