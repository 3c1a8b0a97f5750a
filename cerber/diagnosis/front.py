"""What stands in front of the web processes: is there a proxy where one is needed, and is it believed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import IntegrityError

from cerber import addresses
from cerber.context import now, settings
from cerber.db.engines import db
from cerber.db.transactions import OUTAGES, reading, transaction
from cerber.webhooks.models import Figure

NOTED_EVERY = 3600.0  # seconds, by each process
FRESH = timedelta(days=1)

_KEY = "cerber_forwarded_noted"
_ROW = (Figure.name == "x_forwarded_for", Figure.label == "last_seen")  # its value: Unix seconds


def note_forwarded(app: Flask) -> None:
    """Notes, once an hour in a process, that a request named addresses of proxies which are not believed."""
    if time.monotonic() < app.extensions.get(_KEY, 0.0):
        return
    app.extensions[_KEY] = time.monotonic() + NOTED_EVERY  # before it is tried: no request waits for a second one
    try:
        _note(int(now().timestamp()))
    except (*OUTAGES, IntegrityError):  # away; or another process was faster
        return


def forwarded_at() -> datetime | None:
    """When that was noted last; None where it never was, or more than a day ago."""
    with reading() as session:
        seconds = session.scalar(select(Figure.value).where(*_ROW))
    found = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return found if found is not None and now() - found < FRESH else None


def is_public(base_url: str | None) -> bool:
    """Whether others than this machine and its network may reach the gateway by its address."""
    host = urlsplit(base_url or "").hostname or "localhost"
    try:
        address = addresses.literal_address(host)
    except ValueError:
        return True
    if address is not None:
        return addresses.is_public(address)
    return host != "localhost" and not host.endswith((".localhost", ".local", ".internal", ".test"))


def mistake() -> str | None:
    """What is wrong with what stands in front, and what to do; None where nothing is known to be."""
    if settings().trusted_proxies:
        return None
    if forwarded_at() is not None:
        return (
            "requests come with X-Forwarded-For, and no proxy is believed: behind one all visitors share an address, "
            "and who guesses passwords slows all of them down. Set CERBER_TRUSTED_PROXIES to the number in front"
        )
    if is_public(settings().base_url):
        return (
            f"nothing is known to stand before {settings().base_url}: slow visitors then hold the web processes. Put "
            "a proxy there that reads whole requests first (docs/deployment.md), and set CERBER_TRUSTED_PROXIES=1"
        )
    return None


@transaction
def _note(seconds: int) -> None:
    written = db.session.execute(update(Figure).where(*_ROW).values(value=seconds))
    if not (isinstance(written, CursorResult) and written.rowcount):
        db.session.add(Figure(name="x_forwarded_for", label="last_seen", value=seconds))
