"""The door of each way in: how much of a request it reads, and how it says that something went wrong.

A route that does not exist and a body that is too large never reach a way in, yet each must be answered as that way
answers: the API with problem+json, monitors with a plain line, people with a page.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from flask import Flask, Response, abort, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from cerber import bot_api
from cerber.context import settings
from cerber.dashboard import refusals
from cerber.db.transactions import OUTAGES
from cerber.diagnosis import front
from cerber.merchants import networks
from cerber.ways import Way, way_of

LARGEST_FORM = 64 * 1024
DRAINED = 8 * 1024 * 1024
PIECE = 64 * 1024
UNREAD = (411, 413, 415)  # refused before the body was read


@dataclass(frozen=True, slots=True)
class Door:
    """`largest`: of a body and of a query, in bytes. `forms`: whether a body that is chunked or multipart is refused
    here; the API refuses them itself, as a wrong method comes first there."""

    largest: int
    forms: bool
    http_error: Callable[[HTTPException], ResponseReturnValue]
    outage: Callable[[Exception], ResponseReturnValue]
    finish: Callable[[Response], Response]


def init_app(app: Flask) -> None:
    """Needs all ways in installed."""
    app.before_request(_refuse_unread)
    app.before_request(_refuse_elsewhere)
    app.before_request(_note_proxies)
    app.after_request(_finish)
    app.register_error_handler(HTTPException, lambda error: _door().http_error(error))
    for outage in OUTAGES:
        app.register_error_handler(outage, lambda error: _door().outage(error))


def _door() -> Door:
    return _DOORS[way_of(request.path)]


def _refuse_unread() -> None:
    """Before anything is read, so that no body costs more than its bound; also where there is no such route."""
    door = _door()
    if (request.content_length or 0) > door.largest or len(request.query_string) > door.largest:
        abort(413)
    if door.forms and "Transfer-Encoding" in request.headers:
        abort(411)
    if door.forms and request.mimetype.startswith("multipart/"):
        abort(415)


def _refuse_elsewhere() -> None:
    """Keeps the pages, and none of their pictures, to CERBER_DESK_NETWORKS."""
    address = request.remote_addr or ""
    if way_of(request.path) is not Way.PAGES or (request.endpoint or "").endswith("static"):
        return
    if not networks.hold(settings().desk_networks, address):
        abort(403, f"These pages open in certain networks only, and your address, {address}, lies in none of them.")


def _note_proxies() -> None:
    if "X-Forwarded-For" in request.headers and not settings().trusted_proxies:
        front.note_forwarded(current_app)


def _finish(response: Response) -> Response:
    if response.status_code in UNREAD:
        _drain()
    return _door().finish(response)


def _drain() -> None:
    """Reads what is on its way, up to a bound and keeping nothing, so that the client gets to see the answer."""
    left = DRAINED
    with suppress(OSError, HTTPException):  # a client that has gone, or sends what is no body
        while left > 0 and (piece := request.stream.read(min(PIECE, left))):
            left -= len(piece)


def _plain_error(error: HTTPException) -> ResponseReturnValue:
    return Response(f"{error.name.lower()}\n", error.code, content_type="text/plain; charset=utf-8")


def _plain_outage(error: Exception) -> ResponseReturnValue:
    return Response("the database is away\n", 503, content_type="text/plain; charset=utf-8")


def _as_is(response: Response) -> Response:
    return response


_DOORS = {
    Way.API: Door(bot_api.LARGEST, False, bot_api.http_error, bot_api.unavailable, bot_api.keep_nowhere),
    Way.MONITORS: Door(LARGEST_FORM, True, _plain_error, _plain_outage, _as_is),
    Way.PAGES: Door(LARGEST_FORM, True, refusals.http_error, refusals.outage, refusals.add_headers),
}
