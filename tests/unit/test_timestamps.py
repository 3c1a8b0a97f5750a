"""The date forms of contract section 1."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from cerber.timestamps import day_of, parse_create_time, parse_end, parse_start

BAKU, BERLIN, HAVANA = ZoneInfo("Asia/Baku"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24T10:00:00+04:00", "2026-11-24 06:00:00"),
        ("2026-11-24 10:00:00+04:00", "2026-11-24 06:00:00"),
        ("2026-11-24T10:00:00 04:00", "2026-11-24 06:00:00"),  # the `+` became a blank in a query string
        ("2026-11-24 10:00:00 04:00", "2026-11-24 06:00:00"),
        ("2026-11-24t10:00:00z", "2026-11-24 10:00:00"),
        ("2026-11-24T10:00:00-05:30", "2026-11-24 15:30:00"),
        ("2026-11-24T10:00:00.25Z", "2026-11-24 10:00:00.250000"),
        ("2026-11-24T10:00:00.123456789Z", "2026-11-24 10:00:00.123456"),
        ("2016-12-31T23:59:60Z", "2017-01-01 00:00:00"),
        ("2026-11-24 10:00", "2026-11-24 06:00:00"),
        ("2026-11-24 10:00:05", "2026-11-24 06:00:05"),
        ("2026-11-24 10:00:05.5", "2026-11-24 06:00:05.500000"),
        ("24.11.2026 10:00", "2026-11-24 06:00:00"),
        ("24.11.2026 10:00:05", "2026-11-24 06:00:05"),
        ("1000000000", "2001-09-09 01:46:40"),  # digits alone are Unix time from here on
        ("1795500000", "2026-11-24 06:00:00"),
        ("1795500000123", "2026-11-24 06:00:00.123000"),
        ("100000000000", "1973-03-03 09:46:40"),  # from 10^11 on: milliseconds
        ("32503679999999", "2999-12-31 23:59:59.999000"),
        ("99999999999", None),  # one less counts seconds, which lie beyond 2999
        ("32503680000000", None),
    ],
)
def test_an_instant_is_the_same_as_start_and_as_end(text: str, instant: str | None) -> None:
    for parse in (parse_start, parse_end):
        if instant is None:
            with pytest.raises(ValueError, match="years 1970 to 2999"):
                parse(text, BAKU)
        else:
            assert parse(text, BAKU) == utc(instant)


@pytest.mark.parametrize(
    ("text", "zone", "start", "end"),
    [
        ("2026-11-24", BAKU, "2026-11-23 20:00:00", "2026-11-24 19:59:59.999999"),
        ("24.11.2026", BAKU, "2026-11-23 20:00:00", "2026-11-24 19:59:59.999999"),
        ("20261124", BAKU, "2026-11-23 20:00:00", "2026-11-24 19:59:59.999999"),
        ("20261025", BERLIN, "2026-10-24 22:00:00", "2026-10-25 22:59:59.999999"),
        ("29991231", UTC, "2999-12-31 00:00:00", "2999-12-31 23:59:59.999999"),
        ("2026-10-25", BERLIN, "2026-10-24 22:00:00", "2026-10-25 22:59:59.999999"),  # 25 hours
        ("2026-03-29", BERLIN, "2026-03-28 23:00:00", "2026-03-29 21:59:59.999999"),  # 23 hours
        ("2026-10-31", HAVANA, "2026-10-31 04:00:00", "2026-11-01 03:59:59.999999"),  # the next midnight comes twice
        ("2999-12-31", UTC, "2999-12-31 00:00:00", "2999-12-31 23:59:59.999999"),
        ("1970-01-01", UTC, "1970-01-01 00:00:00", "1970-01-01 23:59:59.999999"),
        ("2026-10-25 02:30", BERLIN, "2026-10-25 00:30:00", "2026-10-25 01:30:00"),  # an hour that comes twice
        ("25.10.2026 02:30:00", BERLIN, "2026-10-25 00:30:00", "2026-10-25 01:30:00"),
        ("2026-10-25T02:30:00+02:00", BERLIN, "2026-10-25 00:30:00", "2026-10-25 00:30:00"),
        ("2026-10-25 03:00", BERLIN, "2026-10-25 02:00:00", "2026-10-25 02:00:00"),
    ],
)
def test_days_and_hours_that_are_longer_than_they_look(text: str, zone: tzinfo, start: str, end: str) -> None:
    assert parse_start(text, zone) == utc(start)
    assert parse_end(text, zone) == utc(end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1969-12-31",
        "3000-01-01",
        "31.12.1969 10:00",
        "2026-02-29",
        "2026-13-01",
        "2026-11-24T24:00:00Z",
        "2026-11-24T10:60:00Z",
        "2026-11-24T10:00:61Z",
        "2026-11-24T10",
        "2026-11-24T10:00:00+24:00",
        "2026-11-24T10:00:00+04:60",
        "2026-11-24T10:00:00  04:00",
        "2026-11-24\n",
        "24.11.26",
        "11/24/2026",
        "-1",
        "0",
        "2026",
        "202611",
        "2026112",
        "20261340",
        "20260229",
        "00000000",
        "19691231",
        "30000101",
        "202611241",
        "999999999",
        "0795500000",
        "0001795500000",
        "20261124 10:00",
        "20261124T100000Z",
        "1795500000.5",
        "1" * 16,
        "٢٠٢٦-١١-٢٤",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    for parse in (parse_start, parse_end):
        with pytest.raises(ValueError):  # noqa: PT011 - the words differ, the sender reads them
            parse(text, BAKU)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-24T10:00:00+04:00", "2026-11-24 06:00:00"),
        ("24.11.2026", "2026-11-23 20:00:00"),
        ("1795500000", "2026-11-24 06:00:00"),
        ("20261124", "2026-11-23 20:00:00"),
        ("1795500000.5", "2026-11-24 06:00:00.500000"),
        ("1795500000.1234567", "2026-11-24 06:00:00.123457"),
        ("1795500000.123456789012345678", "2026-11-24 06:00:00.123457"),
        ("1795500000000", "2026-11-24 06:00:00"),
        ("1795500000000.0", "2026-11-24 06:00:00"),
        ("1795500000123.456", "2026-11-24 06:00:00.123456"),
        ("Tue, 24 Nov 2026 10:00:00 +0400", "2026-11-24 06:00:00"),
        ("Tue, 24 Nov 2026 10:00:00 GMT", "2026-11-24 10:00:00"),
        ("24 Nov 2026 10:00:00 -0000", "2026-11-24 10:00:00"),
    ],
)
def test_create_time_is_read_in_more_forms(text: str, instant: str) -> None:
    assert parse_create_time(text, BAKU) == utc(instant)


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "Tue",
        "0",
        "5",
        "2026",
        "999999999",
        "999999999.9",
        "1e9",
        "1e99999",
        "-5",
        "-1795500000",
        "9" * 15,
        "9" * 64,
        "1.5.5",
        "Tue, 24 Nov 3026 10:00:00 GMT",
        "24 Nov 2026 99:99:99 +9999",
    ],
)
def test_a_create_time_that_cannot_be_read_is_none_and_no_error(text: str) -> None:
    assert parse_create_time(text, BAKU) is None


def test_the_day_is_the_local_one() -> None:
    assert day_of(utc("2026-11-24 19:59:59"), BAKU) == date(2026, 11, 24)
    assert day_of(utc("2026-11-24 20:00:00"), BAKU) == date(2026, 11, 25)


def test_an_hour_that_does_not_exist_is_read_so_that_an_interval_holds_it() -> None:
    new_york = ZoneInfo("America/New_York")
    start = parse_start("2026-03-08 02:30", new_york)
    end = parse_end("2026-03-08 02:30", new_york)
    assert (start, end) == (datetime(2026, 3, 8, 6, 30, tzinfo=UTC), datetime(2026, 3, 8, 7, 30, tzinfo=UTC))
