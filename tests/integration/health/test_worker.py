"""`/health/worker`, as an uptime monitor reads it: 503 says that merchants are told nothing."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from cerber.app import create_app
from cerber.webhooks.models import Webhook
from cerber.webhooks.worker import heartbeats
from tests.support.clock import now
from tests.support.factories import MerchantKeys, open_payment
from tests.support.workers import change, decide


def start_worker(app: Flask) -> None:
    with app.app_context():
        heartbeats.start("host:1")


def test_it_is_503_as_long_as_no_worker_has_run(client: FlaskClient) -> None:
    answer = client.get("/health/worker")
    assert answer.status_code == 503
    assert answer.get_json() == {"ok": False, "workers_alive": 0, "oldest_due_age": 0.0}


def test_it_is_200_while_a_worker_lives_and_nothing_has_waited_for_long(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    start_worker(app)
    decide(app, open_payment(app, keys), 50_000)
    answer = client.get("/health/worker")
    assert answer.status_code == 200
    assert answer.get_json()["ok"] is True


def test_it_is_503_where_an_event_that_may_go_has_been_due_for_five_minutes(
    app: Flask, client: FlaskClient, keys: MerchantKeys
) -> None:
    start_worker(app)
    decide(app, open_payment(app, keys), 50_000)
    change(app, update(Webhook).values(due_at=now() - timedelta(seconds=301)))
    answer = client.get("/health/worker")
    assert answer.status_code == 503
    assert answer.get_json()["oldest_due_age"] > 300
    assert client.get("/health/ready").status_code == 200, "requests can be served all the same"


def test_it_says_that_the_database_is_away(env: dict[str, str]) -> None:
    lost = create_app(env | {"CERBER_DATABASE_URL": "mysql+pymysql://nobody@127.0.0.1:1/none"})
    answer = lost.test_client().get("/health/worker")
    assert answer.status_code == 503
    assert answer.get_data(as_text=True) == "the database is away\n"
