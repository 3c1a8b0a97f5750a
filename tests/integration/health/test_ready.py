"""`/health/ready`: can requests be served, and how old is what waits."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient

from tests.integration.webhooks.test_resending import endpoint, hold, make_endpoint, put
from tests.support.clock import now

__all__ = ["endpoint"]


def test_what_is_held_for_its_endpoint_is_not_due(app: Flask, client: FlaskClient, endpoint: int) -> None:
    def oldest() -> float | None:
        found: float | None = client.get("/health/ready").get_json()["oldest_due_age"]
        return found

    assert oldest() is None
    put(app, endpoint, {"state": "due", "due_at": now() - timedelta(hours=5)})
    assert 5 * 3600 <= (oldest() or 0) < 5 * 3600 + 60
    hold(app, endpoint)
    assert oldest() is None
    other = make_endpoint(app, origin="https://other.example")
    put(app, other, {"state": "due", "due_at": now() - timedelta(hours=1)})
    put(app, other, {"state": "delivered", "due_at": now() - timedelta(hours=9)})
    assert 3600 <= (oldest() or 0) < 3600 + 60
