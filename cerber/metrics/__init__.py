"""`/metrics`: figures for Prometheus, behind a token. Without CERBER_METRICS_TOKEN there is no such page."""

from __future__ import annotations

import hmac

from flask import Blueprint, Flask, Response, abort, request

from cerber.context import settings
from cerber.db.transactions import OUTAGES
from cerber.payments import pressure
from cerber.webhooks.worker import counters

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
        snapshot, pressed = counters.read(), pressure.read()
    except OUTAGES:
        return Response("the database is away\n", 503, content_type="text/plain")
    from cerber.metrics import exposition  # a process that nobody scrapes does without the library

    return Response(exposition.text(snapshot, pressed), content_type=exposition.CONTENT_TYPE)


def _is_shown(token: str) -> bool:
    """Whether the request has the token; in a time that tells nothing of it."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
