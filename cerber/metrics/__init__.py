"""`/metrics`: figures for Prometheus, behind a token. Without CERBER_METRICS_TOKEN there is no such page."""

from __future__ import annotations

import hmac
from datetime import timedelta

from flask import Blueprint, Flask, Response, abort, request

from cerber.context import settings
from cerber.db.transactions import OUTAGES
from cerber.operators import attempts
from cerber.payments import pressure
from cerber.webhooks.worker import counters

HOUR = timedelta(hours=1)

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


@blueprint.get("/metrics")
def metrics() -> Response:
    token = settings().metrics_token
    if token is None:
        abort(404)
    if not _is_shown(token):
        return Response("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    try:
        snapshot, pressed, failed_logins = counters.read(), pressure.read(), attempts.failures(HOUR)
    except OUTAGES:
        return Response("the database is away\n", 503, content_type="text/plain")
    from cerber.metrics import exposition  # a process that nobody scrapes does without the library

    return Response(exposition.text(snapshot, pressed, failed_logins), content_type=exposition.CONTENT_TYPE)


def _is_shown(token: str) -> bool:
    """Whether the request has the token; in a time that tells nothing of it."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
