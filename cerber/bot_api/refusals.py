"""What is refused before or around the calls, and how every error becomes its answer (contract sections 1 and 4)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from cerber.bot_api import problems
from cerber.bot_api.body import LARGEST, NotAnObject, NotJson
from cerber.bot_api.schemas import Invalid
from cerber.bot_api.views import blueprint
from cerber.errors import CerberError, WebhookBodySent

DRAINED = 8 * 1024 * 1024
PIECE = 64 * 1024

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Serves the merchants' API, its refusals included."""
    app.before_request(_refuse_size)
    app.after_request(_keep_nowhere)
    app.register_error_handler(400, _routing("bad_request", "The request can't be read: check its Host header."))
    app.register_error_handler(404, _routing("not_found", "There is no such call."))
    app.register_error_handler(405, _routing("method_not_allowed", "This call takes another method."))
    app.register_blueprint(blueprint)


def _refuse_size() -> Response | None:
    """413 comes before all else, a wrong method too."""
    if not request.path.startswith("/bot_api/"):
        return None
    length = request.content_length or 0
    if length <= LARGEST and len(request.environ.get("QUERY_STRING", "")) <= LARGEST:
        return None
    _drain()
    return problems.answer("too_large", f"A request may have at most {LARGEST} bytes.")


def _keep_nowhere(response: Response) -> Response:
    """No browser and no proxy keeps what the API answers, its refusals included."""
    if request.path.startswith("/bot_api"):
        response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.before_request
def _refuse_form() -> Response | None:
    if "Transfer-Encoding" in request.headers:
        _drain()
        return problems.answer("length_required", "Send the body with a Content-Length, not chunked.")
    if request.mimetype.startswith("multipart/"):
        return problems.answer("unsupported_media_type", "Send JSON or a URL-encoded form, not multipart.")
    return None


def _drain() -> None:
    """Reads what is on its way, so that the client gets to see the answer."""
    left = DRAINED
    while left > 0:
        piece = request.stream.read(min(PIECE, left))
        if not piece:
            return
        left -= len(piece)


@blueprint.errorhandler(NotJson)
def _not_json(error: NotJson) -> Response:
    return problems.answer("not_json", "The body must be a JSON object in UTF-8, or a URL-encoded form.")


@blueprint.errorhandler(NotAnObject)
def _not_an_object(error: NotAnObject) -> Response:
    return problems.answer("not_an_object", "The body must be a JSON object.")


@blueprint.errorhandler(Invalid)
def _invalid(error: Invalid) -> Response:
    return problems.answer("invalid", "Some fields break the rules; see errors.", errors=error.errors)


@blueprint.errorhandler(WebhookBodySent)
def _webhook_body(error: WebhookBodySent) -> Response:
    return problems.answer(error.code, error.message, errors=[("confirm_sum", "is no field of a request")])


@blueprint.errorhandler(CerberError)
def _broken_rule(error: CerberError) -> Response:
    return problems.of(error)


@blueprint.errorhandler(DBAPIError)
@blueprint.errorhandler(PoolTimeout)
def _unavailable(error: Exception) -> Response:
    log.error("The database did not answer: %s", error)
    return problems.answer("unavailable", "The database can't be reached now. Nothing was changed; try again.")


def _routing(code: str, detail: str) -> Callable[[HTTPException], Response | HTTPException]:
    def handle(error: HTTPException) -> Response | HTTPException:
        if not request.path.startswith("/bot_api"):
            return error
        allowed = getattr(error, "valid_methods", None)
        return problems.answer(code, detail, headers={"Allow": ", ".join(allowed)} if allowed else None)

    return handle
