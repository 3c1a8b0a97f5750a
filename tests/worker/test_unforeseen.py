"""Exceptions that nobody foresaw: they cost the merchant nothing, are told, and spin for ever for no event."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from cerber.webhooks import resending
from tests.support.factories import MerchantKeys
from tests.support.shop import Shop
from tests.support.workers import attempts, breaker, changed_worker, named, put, states, stop, until, webhooks, worker

TOKEN = "the-token-of-a-scraper"
MOST = 20
QUICK = {"CERBER_RETRY_SCHEDULE": "0,0.05", "CERBER_METRICS_TOKEN": TOKEN}
SENDING = """
real = loop.Client.post
def post(client, url, body, headers):
    if b"poison" in body:
        raise {error}
    return real(client, url, body, headers)
loop.Client.post = post
"""
SIGNING = """
from cerber.merchants import keyring
real = keyring.webhook_headers
def headers(keys, kind, event_id, body, at):
    if b"poison" in body:
        raise {error}
    return real(keys, kind, event_id, body, at)
keyring.webhook_headers = headers
"""


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | QUICK


def counted(app: Flask) -> float:
    text = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(one.value for one in samples if one.labels.get("outcome") == "unforeseen")


def doctor(app: Flask) -> dict[str, tuple[bool, str]]:
    told = json.loads(app.test_cli_runner().invoke(args=["doctor", "--json"]).stdout)
    return {check["name"]: (check["ok"], check["message"]) for check in told["checks"]}


@pytest.mark.parametrize("changes", [SENDING, SIGNING], ids=["sending", "signing"])
def test_it_costs_no_attempt_moves_no_breaker_is_told_once_and_given_up_after_twenty(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], changes: str
) -> None:
    counter, url = shop
    assert counted(app) == 0
    assert doctor(app)["mistakes"][0]
    put(app, keys, url, "poison")
    with changed_worker(env, changes.format(error="ZeroDivisionError('nobody foresaw this')")) as process:
        until(lambda: webhooks(app)[0].unforeseen > 2)
        assert doctor(app)["mistakes"][0] is False
        put(app, keys, url, "good")  # to the same endpoint
        until(lambda: states(app) == ["given_up", "delivered"])
        stop(process)
        said = process.stdout.read()  # type: ignore[union-attr]
    assert [named(arrival.body) for arrival in counter.arrivals] == ["good"]
    poison = webhooks(app)[0]
    assert (poison.attempts, poison.unforeseen, breaker(app)) == (0, MOST, None)
    assert poison.closed_at is not None
    of_it = [attempt for attempt in attempts(app) if attempt.webhook_id == poison.id]
    assert {(str(attempt.outcome), attempt.detail) for attempt in of_it} == {("unforeseen", "ZeroDivisionError")}
    assert len(of_it) == counted(app) == MOST
    assert said.count("Traceback") == said.count("ZeroDivisionError: nobody foresaw this") == 1
    assert f"{poison.event_id} is given up after {MOST} failures that nobody foresaw" in said
    well, message = doctor(app)["mistakes"]
    assert not well
    assert message.startswith("0 events wait and 1 were given up since yesterday")


def test_sent_again_after_the_mistake_is_mended_it_is_delivered(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    put(app, keys, shop[1], "poison")
    with changed_worker(env, SENDING.format(error="ZeroDivisionError")) as process:
        until(lambda: states(app) == ["given_up"])
        stop(process)
    with app.app_context():
        resending.one(webhooks(app)[0].id, "operator:a")
    assert webhooks(app)[0].unforeseen == 0
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert states(app) == ["delivered"]
    assert doctor(app)["mistakes"][0]


@pytest.mark.parametrize("error", ["MemoryError", 'RuntimeError("can\'t start new thread")'])
def test_a_machine_with_no_more_to_give_is_no_mistake_and_is_waited_for(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], error: str
) -> None:
    put(app, keys, shop[1], "poison")
    with changed_worker(env, SENDING.format(error=error), "--once") as process:
        assert process.wait(30) == 0
    assert [str(attempt.outcome) for attempt in attempts(app)] == ["own_side"]
    (event,) = webhooks(app)
    assert (event.state, event.attempts, event.unforeseen, breaker(app)) == ("due", 0, 0, None)
