"""What the pages' forms send, read into what the services take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from urllib.parse import urlsplit

from werkzeug.datastructures import MultiDict

from cerber import money, timestamps
from cerber.db.paging import Start

LONGEST_REFERENCE = 64
LONGEST_REASON = 200

Form = MultiDict[str, str]


class BadForm(ValueError):
    """Something was filled in that we can't take. The message says what to correct, `field` where."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Typed:
    """What stood in a form (`form` is its address), and what is wrong with which of its fields."""

    form: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    mistake: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that came, in qəpik."""

    amount: int
    reference: str | None


def version(form: Form) -> int | None:
    """The version that the page showed, or None where there is none to read."""
    return _number(form.get("version", ""))


def transfer(form: Form) -> Transfer:
    try:
        amount = money.entered(form.get("sum", ""))
    except ValueError as error:
        raise BadForm(f"The sum {error}.", "sum") from None
    return Transfer(amount, reference(form))


def reference(form: Form) -> str | None:
    """The number of the operation in m10, where one was filled in."""
    text = form.get("reference", "").strip()
    if len(text) > LONGEST_REFERENCE or not text.isprintable():
        raise BadForm(
            f"The operation number must have at most {LONGEST_REFERENCE} printable characters.", "reference"
        )
    return text or None


def reason(form: Form) -> str:
    text = " ".join(form.get("reason", "").split())
    if not 1 <= len(text) <= LONGEST_REASON or not text.isprintable():
        raise BadForm(f"Say in 1 to {LONGEST_REASON} printable characters why the transfer is taken back.", "reason")
    return text


def since(form: Form, zone: tzinfo) -> datetime:
    """From when on webhooks are to be sent again: any of the forms that merchants may use, too."""
    try:
        return timestamps.parse_start(form.get("since", "").strip(), zone)
    except ValueError as error:
        raise BadForm(f"The time can't be read: {error}.", "since") from None


def number(args: Form, name: str) -> int | None:
    """The id of a row in a filter, or None where there is none to read."""
    return _number(args.get(name, ""))


def start(args: Form) -> Start:
    """Where a page of a list starts: at the place in the link, or the number in an old one."""
    return Start.read(args, max(_number(args.get("page", "")) or 1, 1))


def local_path(text: str) -> str | None:
    """A path of this site, or None: nobody is sent elsewhere after a log-in."""
    # browsers read a backslash as a slash, and skip control characters
    if not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return None
    parts = urlsplit(text)
    return None if parts.scheme or parts.netloc else text


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
