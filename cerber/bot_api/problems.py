"""Errors as `application/problem+json`: contract section 4. They leak nothing."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Response

from cerber.errors import CerberError, TooManyRequests

STATUS = {
    "bad_request": 400,  # not in the contract: what the server itself can't read, such as a Host that names none
    "not_json": 400,
    "not_an_object": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "payment_id_reused": 409,
    "payment_closed": 409,
    "money_received": 409,
    "length_required": 411,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid": 422,
    "webhook_body": 422,
    "too_many_requests": 429,
    "internal": 500,  # not in the contract: a mistake of ours
    "no_wallet_available": 503,
    "unavailable": 503,
}
RETRY_AFTER = {"no_wallet_available": "30", "unavailable": "5"}


def answer(
    code: str,
    detail: str,
    *,
    errors: list[tuple[str, str]] | None = None,
    payment_status: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer for a code of section 4. It has no `status` member: that would be taken for a payment's."""
    status = HTTPStatus(STATUS[code])
    problem: dict[str, object] = {
        "type": f"urn:cerber:problem:{code}",
        "title": status.phrase,
        "detail": detail,
        "code": code,
    }
    if errors:
        problem["errors"] = [{"field": _shown(field), "message": message} for field, message in errors]
    if payment_status is not None:
        problem["payment_status"] = payment_status
    response = Response(json.dumps(problem), status.value, mimetype="application/problem+json")
    response.headers.update(headers or {})
    if code in RETRY_AFTER:
        response.headers["Retry-After"] = RETRY_AFTER[code]
    return response


def of(error: CerberError) -> Response:
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooManyRequests) else None
    return answer(error.code, error.message, payment_status=error.payment_status, headers=headers)


def _shown(field: str) -> str:
    """A key as the sender wrote it, cut: it may be anything."""
    return field[:64].encode("utf-8", "backslashreplace").decode()
