"""What people see where something went wrong: a page that says what, that nothing was changed, and where to go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from flask import Response, current_app, g, render_template, request
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from cerber.dashboard import forms, session
from cerber.db.transactions import OUTAGES

log = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        f"{feature}=()"
        for feature in ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "usb")
    ),
}
_HTTPS_ALONE = "max-age=31536000"  # a year
_WORDS = {
    400: ("Not understood", "The request could not be read. Nothing was changed."),
    403: ("Not allowed", "You may not do this. Nothing was changed."),
    404: ("Not found", "There is no such page. The link may be old or mistyped."),
    405: ("Nothing to see here", "This address takes a form's button, not a visit. Nothing was changed."),
    411: ("Not understood", "The form came without its length. Nothing was changed."),
    413: ("Too large", "A form may have at most 64 KiB. Nothing was changed."),
    415: ("Not taken", "No page here takes files. Nothing was changed."),
    429: ("Too many requests", "Wait a moment, then try again. Nothing was changed."),
    500: ("A mistake of ours", "It was noted. Look whether what you wanted has happened before you try again."),
    503: ("Not available", "The database can't be reached at the moment. Nothing was changed; please try again."),
}
_STALE = (
    "Send it once more",
    "This form was made before your last log-in. Nothing was changed; go back and send it.",
)


def add_headers(response: Response) -> Response:
    response.headers.update(_HEADERS)
    if current_app.session_interface.get_cookie_secure(current_app):
        response.headers["Strict-Transport-Security"] = _HTTPS_ALONE
    if not (request.endpoint or "").endswith("static"):
        response.headers["Cache-Control"] = "no-store"
    return response


def http_error(error: HTTPException) -> ResponseReturnValue:
    """The page of an error. A log-in whose token is stale gets a fresh form instead."""
    code = error.code or 500
    if code < 400 or request_ctx.url_adapter is None:
        return error  # a redirect; or a Host under which no link can be made, which no browser sends
    if isinstance(error, CSRFError):
        return _stale()
    title, text = _WORDS.get(code, (error.name, "Nothing was changed."))
    if error.description != type(error).description:  # told by whoever refused
        text = error.description or text
    answer = _page(code, title, text)
    answer.headers.extend((name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After"))
    return answer


def outage(error: Exception) -> ResponseReturnValue:
    log.error("The database did not answer: %s", error)
    g.setdefault("operator", None)  # who is not known by now can't be
    return _page(503, *_WORDS[503])


def way_back() -> str | None:
    """The page from which a form was sent, by its Referer; None where it does not say or was no page of ours.

    An answer to a form stands at the form's own address: then the page above it.
    """
    host, _, path = (request.referrer or "").partition("://")[2].partition("/")
    asked = forms.local_path(f"/{path}") if host == request.host else None
    return next((path for path in _upwards(asked or "") if _is_page(path)), None)


def _upwards(path: str) -> Iterator[str]:
    yield path
    path = path.partition("?")[0]
    while path.strip("/"):
        yield path
        path = path.rpartition("/")[0]


def _is_page(path: str) -> bool:
    address = current_app.url_map.bind("")
    try:
        endpoint, _ = address.match(path.partition("?")[0], method="GET")
    except HTTPException:
        return False
    return str(endpoint).startswith("pages.") and endpoint not in ("pages.log_in", "pages.home")


def _stale() -> ResponseReturnValue:
    if request.endpoint == "pages.log_in":
        message = "This page had become old, so the log-in was not tried. Please log in now."
        return render_template("login.html", message=message, username=request.form.get("username", "")[:64]), 400
    return _page(400, *_STALE)


def _page(code: int, title: str, text: str) -> Response:
    back = way_back() or (request.full_path.rstrip("?") if code in (429, 503) and request.method == "GET" else None)
    page = render_template("error.html", title=title, message=text, known=_is_known(), back=back)
    return Response(page, code)


def _is_known() -> bool:
    try:
        return session.operator() is not None
    except OUTAGES:
        g.operator = None
        return False
