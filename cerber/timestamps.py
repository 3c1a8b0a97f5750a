"""Moments as text: the date forms that merchants may send (contract section 1), read into aware datetimes in UTC.

A time without a zone is taken in the zone given. Of a local hour that exists twice, a start takes the earlier
and an end the later one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from email.utils import parsedate_to_datetime

FIRST_YEAR, LAST_YEAR = 1970, 2999
UNIX_FROM = 10**9  # fewer digits are no Unix time: 20261125 read as seconds lies in 1970
MILLISECONDS_FROM = 10**11  # a Unix time from here on counts milliseconds

_DATE = r"(?:(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_DOTTED = r"|(?P<dday>[0-9]{2})\.(?P<dmonth>[0-9]{2})\.(?P<dyear>[0-9]{4}))"
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
_ZONE = r"(?P<zone>[Zz]|(?P<sign>[+\- ])(?P<zhour>[0-9]{2}):(?P<zminute>[0-9]{2}))"  # the blank was a `+`
_FORM = re.compile(rf"{_DATE}{_DOTTED}(?:[Tt ]{_CLOCK}{_ZONE}?)?")
_DIGITS = re.compile(r"[0-9]+")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_UNIX = re.compile(r"[1-9][0-9]{9,14}")
_UNIX_FRACTION = re.compile(rf"{_UNIX.pattern}\.[0-9]+")

_HELP = "must be a date such as 2026-11-24, 20261124, 2026-11-24T10:00:00+04:00, 24.11.2026 10:00 or Unix time"
_NO_UNIX = f"must be a date as YYYYMMDD or Unix time of {UNIX_FROM} or more, where it has digits alone"


def parse_start(text: str, zone: tzinfo) -> datetime:
    """The first instant that `text` names, in UTC. Raises ValueError, in words for the sender."""
    return _parse(text, zone, is_end=False)


def parse_end(text: str, zone: tzinfo) -> datetime:
    """The last instant that `text` names, in UTC: of a date alone, its day's last microsecond. Raises ValueError."""
    return _parse(text, zone, is_end=True)


def parse_create_time(text: str, zone: tzinfo) -> datetime | None:
    """A merchant's `create_time` in UTC, or None where it can't be read: a date never costs a sale."""
    if _UNIX_FRACTION.fullmatch(text):
        return _or_none(lambda: _from_unix(text))
    return _or_none(lambda: parse_start(text, zone)) or _or_none(lambda: _from_rfc_2822(text))


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The local day on which `moment` falls."""
    return moment.astimezone(zone).date()


def age(moment: datetime | None, at: datetime) -> float | None:
    """The seconds since then, never below zero: the clocks of two machines may differ. None for no moment."""
    return None if moment is None else max((at - moment).total_seconds(), 0.0)


def utc_text(moment: datetime, timespec: str = "auto") -> str:
    """In ISO 8601 with a `Z`, as precise as it is or as `timespec` says (see `datetime.isoformat`)."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _or_none(read: Callable[[], datetime]) -> datetime | None:
    try:
        return read()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parse(text: str, zone: tzinfo, *, is_end: bool) -> datetime:
    if _UNIX.fullmatch(text):
        return _from_unix(text)
    text = _COMPACT.sub(r"\1-\2-\3", text) if _COMPACT.fullmatch(text) else text
    if _DIGITS.fullmatch(text):
        raise ValueError(_NO_UNIX)
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(_HELP)
    try:
        return _from_form(match, zone, is_end=is_end)
    except OverflowError:
        raise ValueError(_HELP) from None


def _from_form(match: re.Match[str], zone: tzinfo, *, is_end: bool) -> datetime:
    day = _date_of(match)
    if match["hour"] is None:
        return _whole_day(day, zone, is_end=is_end)
    leap = match["second"] == "60"  # RFC 3339 lets a minute have 61 seconds
    local = datetime.combine(day, _clock_of(match, leap=leap), tzinfo=_zone_of(match) or zone)
    # an hour that exists twice, and one that doesn't exist, stand for two instants
    instants = [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return (max if is_end else min)(instants) + timedelta(seconds=int(leap))


def _date_of(match: re.Match[str]) -> date:
    parts = [match[name] or match["d" + name] for name in ("year", "month", "day")]
    year, month, day = map(int, parts)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return date(year, month, day)


def _clock_of(match: re.Match[str], *, leap: bool) -> time:
    microsecond = int((match["fraction"] or "")[:6].ljust(6, "0"))
    second = 59 if leap else int(match["second"] or 0)
    return time(int(match["hour"]), int(match["minute"]), second, microsecond)


def _zone_of(match: re.Match[str]) -> tzinfo | None:
    if match["zone"] is None:
        return None
    if match["sign"] is None:
        return UTC
    hours, minutes = int(match["zhour"]), int(match["zminute"])
    if hours > 23 or minutes > 59:
        raise ValueError(_HELP)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if match["sign"] == "-" else offset)


def _whole_day(day: date, zone: tzinfo, *, is_end: bool) -> datetime:
    if not is_end:
        return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    next_day = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
    return next_day.astimezone(UTC) - timedelta(microseconds=1)


def _from_unix(text: str) -> datetime:
    number = Decimal(text)
    microseconds = int((number * (10**3 if number >= MILLISECONDS_FROM else 10**6)).to_integral_value())
    if microseconds >= 32_503_680_000 * 10**6:  # the first second of the year 3000
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _from_rfc_2822(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)  # `-0000`: a UTC time of an unknown place
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(_HELP)
    return moment.astimezone(UTC)
