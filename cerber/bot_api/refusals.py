"""What is refused before or around the calls, and how every error becomes its answer (contract sections 1 and 4)."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from cerber.bot_api import problems
from cerber.bot_api.body import LARGEST, NotAnObject, NotJson
from cerber.bot_api.schemas import Invalid
from cerber.bot_api.views import blueprint
from cerber.errors import CerberError, WebhookBodySent

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Serves the merchants' API."""
    app.register_blueprint(blueprint)


def http_error(error: HTTPException) -> Response | HTTPException:
    """What was refused outside of the calls: no such one, the wrong method, too large; and our own mistakes."""
    if error.code is None or error.code < 400:
        return error  # a redirect
    code, detail = _OUTSIDE.get(error.code, _INTERNAL if error.code >= 500 else _OUTSIDE[400])
    allowed = getattr(error, "valid_methods", None)
    return problems.answer(code, detail, headers={"Allow": ", ".join(allowed)} if allowed else None)


def keep_nowhere(response: Response) -> Response:
    """No browser and no proxy keeps what the API answers, its refusals included."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.before_request
def _refuse_form() -> Response | None:
    if "Transfer-Encoding" in request.headers:
        return problems.answer("length_required", "Send the body with a Content-Length, not chunked.")
    if request.mimetype.startswith("multipart/"):
        return problems.answer("unsupported_media_type", "Send JSON or a URL-encoded form, not multipart.")
    return None


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
def unavailable(error: Exception) -> Response:
    """The database does not answer."""
    log.error("The database did not answer: %s", error)
    return problems.answer("unavailable", "The database can't be reached now. Nothing was changed; try again.")


_INTERNAL = ("internal", "A mistake of ours, which was noted. Repeating the request is safe.")
_OUTSIDE = {
    400: ("bad_request", "The request can't be read: check its Host header."),
    404: ("not_found", "There is no such call."),
    405: ("method_not_allowed", "This call takes another method."),
    413: ("too_large", f"A request may have at most {LARGEST} bytes."),
}
