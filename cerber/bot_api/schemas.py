"""What each call takes: the fields of contract section 1, checked one by one, all mistakes told at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from cerber import identifiers, money, timestamps
from cerber.bot_api.body import Fields, Fraction, Integer
from cerber.payments.opening import Opening
from cerber.webhooks.callback_urls import parse_callback_url

T = TypeVar("T")
MOST_EVENTS, USUAL_EVENTS = 500, 100  # in one answer
_COUNT = re.compile(r"[1-9][0-9]{0,2}")


class Invalid(Exception):
    """Fields that break the rules: pairs of field and message."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__()
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the rules for a field may depend on. `own_host` is this gateway's host and port."""

    zone: ZoneInfo
    own_host: tuple[str, int] | None
    allow_private: bool


@dataclass(frozen=True, slots=True)
class Balance:
    """A checked get_balance: instants in UTC, None for open."""

    start: datetime | None
    end: datetime | None
    callback_url: str | None


@dataclass(frozen=True, slots=True)
class Events:
    """A checked get_events. `after` is a webhook-id, None for from the beginning."""

    after: str | None
    limit: int


class _Reader:
    """Reads fields and collects what is wrong with them."""

    def __init__(self, fields: Fields) -> None:
        self._values = fields.values
        self.errors = [(key, "is given more than once") for key in fields.repeated]

    def required(self, name: str, parse: Callable[[object], T]) -> T | None:
        if name not in self._values:
            self.errors.append((name, "is required"))
            return None
        return self._parsed(name, parse)

    def optional(self, name: str, parse: Callable[[object], T], *, blank: tuple[object, ...] = ()) -> T | None:
        """None where absent, or where its value is one of `blank`."""
        if name not in self._values or self._values[name] in blank:
            return None
        return self._parsed(name, parse)

    def done(self) -> None:
        if self.errors:
            raise Invalid(self.errors)

    def _parsed(self, name: str, parse: Callable[[object], T]) -> T | None:
        try:
            return parse(self._values[name])
        except ValueError as error:
            self.errors.append((name, str(error)))
            return None


def get_wallet(fields: Fields, circumstances: Circumstances) -> Opening:
    """Raises Invalid."""
    read = _Reader(fields)
    payment_id = read.required("payment_id", _identifier)
    user_wallet = read.required("user_wallet", _identifier)
    amount = read.required("sum", _sum)
    read.optional("status", _one_of("pending"))
    callback_url = read.required("callback_url", _callback_url(circumstances))
    read.required("merch_id", _identifier)
    create_time_text = read.required("create_time", _create_time)
    read.done()
    assert payment_id and user_wallet and amount and callback_url and create_time_text  # noqa: S101, PT018 - for mypy
    create_time = timestamps.parse_create_time(create_time_text, circumstances.zone)
    return Opening(payment_id, user_wallet, amount, callback_url, create_time, create_time_text)


def update_status(fields: Fields) -> tuple[str, str]:
    """The payment's id and `accept` or `cancel`. Raises Invalid."""
    read = _Reader(fields)
    payment_id = read.required("payment_id", _identifier)
    status = read.required("status", _one_of("accept", "cancel"))
    read.optional("merch_id", _identifier)
    read.done()
    assert payment_id and status  # noqa: S101, PT018 - for mypy
    return payment_id, status


def get_status(fields: Fields) -> str:
    """The payment's id. Raises Invalid."""
    read = _Reader(fields)
    payment_id = read.required("payment_id", _identifier)
    read.optional("merch_id", _identifier)
    read.done()
    assert payment_id  # noqa: S101 - for mypy
    return payment_id


def get_balance(fields: Fields, circumstances: Circumstances) -> Balance:
    """Raises Invalid."""
    read = _Reader(fields)
    zone, nothing = circumstances.zone, (None, "")
    read.required("merch_id", _identifier)
    start = read.optional("start_date", lambda v: timestamps.parse_start(_text(v), zone), blank=nothing)
    end = read.optional("end_date", lambda v: timestamps.parse_end(_text(v), zone), blank=nothing)
    callback_url = read.optional("callback_url", _callback_url(circumstances), blank=nothing)
    if start and end and start > end:
        read.errors.append(("start_date", "must not lie after end_date"))
    read.done()
    return Balance(start, end, callback_url)


def get_events(fields: Fields) -> Events:
    """Raises Invalid."""
    read = _Reader(fields)
    read.required("merch_id", _identifier)
    after = read.optional("after", _identifier, blank=(None,))  # the cursor of an answer without events is null
    limit = read.optional("limit", _limit)
    read.done()
    return Events(after, limit or USUAL_EVENTS)


def usable(fields: Fields, name: str) -> str | None:
    """An identifier good enough to look a row up by, before anything else is judged; else None."""
    try:
        return _identifier(fields.values.get(name))
    except ValueError:
        return None


def _identifier(value: object) -> str:
    """A JSON integer does too, as its text."""
    return identifiers.identifier(_string(value))


def _create_time(value: object) -> str:
    """Any JSON number does, as its text."""
    return identifiers.identifier(str(value) if isinstance(value, Fraction) else _string(value))


def _text(value: object) -> str:
    return identifiers.plain(_string(value))


def _string(value: object) -> str:
    if isinstance(value, Fraction) or not isinstance(value, str):
        raise ValueError("must be a text")
    return str(value)


def _sum(value: object) -> int:
    if isinstance(value, Fraction | Integer):
        return money.parse_sum(str(value))
    return money.parse_sum(_text(value))


def _limit(value: object) -> int:
    text = value if isinstance(value, str) and not isinstance(value, Fraction) else ""
    if not _COUNT.fullmatch(text) or int(text) > MOST_EVENTS:
        raise ValueError(f"must be an integer from 1 to {MOST_EVENTS}")
    return int(text)


def _one_of(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = _text(value)
        if text not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}")
        return text

    return parse


def _callback_url(circumstances: Circumstances) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = _text(value)
        parse_callback_url(text, own_host=circumstances.own_host, allow_private=circumstances.allow_private)
        return text

    return parse
