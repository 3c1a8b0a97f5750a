"""The endpoints that a merchant has named, and how many new ones it may name: CERBER_NEW_ENDPOINTS."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import bindparam, case, func, select
from sqlalchemy.exc import IntegrityError

from cerber.context import settings
from cerber.db.engines import db
from cerber.db.tables import UTCDateTime
from cerber.errors import TooManyRequests
from cerber.webhooks.callback_urls import parse_callback_url
from cerber.webhooks.models import Endpoint

DAY = timedelta(days=1)
POLLED = "https://poll.invalid:443"
IN_ALL = 10  # times what a merchant may name in a day


def origin(url: str) -> str:
    """Scheme, host and port of a callback URL that was checked."""
    return parse_callback_url(url, own_host=None, allow_private=True).origin


def is_polled(url: str) -> bool:
    """Whether nothing is sent there: its merchant has no server, and asks with get_events (contract section 5)."""
    return origin(url) == POLLED


def find(merchant_pk: int, url: str) -> int | None:
    """The key of the merchant's endpoint of this URL, read in the caller's transaction. None for a new one."""
    found: int | None = db.session.scalar(select(Endpoint.id).filter_by(merchant_id=merchant_pk, origin=origin(url)))
    return found


def admit(merchant_pk: int, url: str, at: datetime) -> None:
    """Makes sure that the merchant may name the endpoint of `url`, one that it has or one more.

    In a transaction that holds the merchant's gate alone. Raises TooManyRequests.
    """
    most = settings().new_endpoints
    if not most:
        return
    asked = {"merchant": merchant_pk, "origin": origin(url), "day_ago": at - DAY}
    row = db.session.connection().execute(_COUNTS, asked).one()
    if row.known:
        return
    if row.all >= IN_ALL * most:
        message = f"{row.all} endpoints are yours, and no more than {IN_ALL * most} may be: use one of those. {_WHAT}"
        raise TooManyRequests(message, int(DAY.total_seconds()))
    if row.new >= most:
        message = f"{row.new} new endpoints were named within 24 h, and no more than {most} may be. {_WHAT}"
        raise TooManyRequests(message, ceil((row.oldest + DAY - at).total_seconds()))


def enter(merchant_pk: int, url: str, at: datetime) -> int:
    """Makes an endpoint that was not found, in the caller's transaction, and gives its key."""
    try:
        with db.session.begin_nested():
            endpoint = Endpoint(merchant_id=merchant_pk, origin=origin(url), created_at=at)
            db.session.add(endpoint)
    except IntegrityError:  # another process was faster
        if (found := find(merchant_pk, url)) is None:
            raise
        return found
    return endpoint.id


_WHAT = "An endpoint is the scheme, host and port of a callback_url."

_NEW = Endpoint.created_at > bindparam("day_ago", type_=UTCDateTime())
_COUNTS = select(
    func.count().label("all"),
    func.count(case((_NEW, 1))).label("new"),
    func.min(case((_NEW, Endpoint.created_at)), type_=UTCDateTime()).label("oldest"),
    func.count(case((Endpoint.origin == bindparam("origin"), 1))).label("known"),
).where(Endpoint.merchant_id == bindparam("merchant"))
