"""Health for monitors: no log-in, no secrets."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Flask, Response, jsonify

from cerber.diagnosis import checks

blueprint = Blueprint("health", __name__, url_prefix="/health")


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


@blueprint.get("/live")
def live() -> Response:
    """The process is up."""
    return jsonify(ok=True)


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """Requests can be served: the database answers and its schema is current. Ages in seconds."""
    state = checks.readiness()
    return jsonify(ok=state.ready, **asdict(state)), 200 if state.ready else 503


@blueprint.get("/worker")
def worker() -> tuple[Response, int]:
    """Webhooks go out: a worker is alive, and no event that may go has been due for 5 minutes. Ages in seconds."""
    state = checks.delivery()
    return jsonify(ok=state.well, **asdict(state)), 200 if state.well else 503
