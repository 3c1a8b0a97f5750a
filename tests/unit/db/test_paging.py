"""Pages of a list: from a place on, back, and by the numbers of old links."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.db import paging
from cerber.db.paging import FIRST, NUMBERED, Listing, Page, Place, Start

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(moments, st.integers(0, 2**63 - 1))
def test_a_place_is_read_back_from_its_link(moment: datetime, pk: int) -> None:
    assert Place.read(str(Place(moment, pk))) == Place(moment, pk)


@pytest.mark.parametrize(
    "text", ["", "1", "a.b", "1.2.3", "1.-2", f"{10**18}.1", f"1.{2**63}", "1.²", " 1.1", "9" * 99]
)
def test_a_link_that_is_none_leads_to_the_first_page(text: str) -> None:
    assert Start.read({"before": text}) == Start.read({"after": text}) == FIRST


def test_a_number_too_high_leads_to_the_first_page_and_says_so() -> None:
    assert Start(number=NUMBERED).skipped == (NUMBERED - 1) * paging.SIZE
    lost = Start(number=NUMBERED + 1)
    assert (lost.skipped, lost.is_first, lost.is_lost) == (0, True, True)


def read(places: list[Place], start: Start, *, newest_first: bool) -> Page[int]:
    """What a database gives for the page, with the limit that it is asked with."""
    listing = Listing(start, newest_first)
    beyond = [p for p in places if not start.before or p < start.before]
    beyond = [p for p in beyond if not start.after or p > start.after]
    return listing.page(sorted(beyond, reverse=listing.descending)[: listing.most])


def follow(link: Mapping[str, str] | None) -> Start | None:
    return Start.read(link) if link else None


@given(st.integers(0, 40), st.booleans(), st.sampled_from([1, 2, 7]))
def test_going_on_and_back_shows_each_row_once(count: int, newest_first: bool, size: int) -> None:
    places = [Place(AT + timedelta(seconds=number // 3), number) for number in range(count)]
    expected = [place.pk for place in sorted(places, reverse=newest_first)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "SIZE", size)
        pages, start = [], FIRST
        while start:
            pages.append(read(places, start, newest_first=newest_first))
            start = follow(pages[-1].next)
        assert [pk for page in pages for pk in page.rows] == expected
        assert pages[0].back is None
        for before, page in itertools.pairwise(pages):
            back = follow(page.back)
            assert back
            again = read(places, back, newest_first=newest_first)
            assert list(again.rows) == list(before.rows)
            assert (again.back is None) == (before is pages[0])
        for number, page in enumerate(pages[:NUMBERED], 1):
            assert read(places, Start(number=number), newest_first=newest_first).rows == page.rows
