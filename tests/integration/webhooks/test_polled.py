"""`https://poll.invalid/`: for a merchant without a server, to whom nothing is sent (contract section 5)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cerber.webhooks import resending
from tests.support.clock import Clock, now
from tests.support.factories import MerchantKeys, call, open_payment
from tests.support.workers import attempts, breaker, decide, states, webhooks, worker

POLLED = "https://poll.invalid/"


def test_events_are_told_and_not_sent(
    app: Flask, client: FlaskClient, env: dict[str, str], keys: MerchantKeys, clock: Clock
) -> None:
    decide(app, open_payment(app, keys, callback_url=POLLED), 200_00, 300_00)
    fields = {"merch_id": keys.merch_id}
    assert (
        call(client, "GET", "get_balance", keys.balance_secret, fields | {"callback_url": POLLED}).status_code == 200
    )
    with worker(env, "--once", "--seconds", "1") as process:
        assert process.wait(30) == 0
    assert attempts(app) == []
    assert breaker(app) is None
    assert states(app) == ["delivered"] * 3

    clock.stop(now() + timedelta(seconds=61))  # an id may be missing before a fresh event, which is then held back
    told = call(client, "GET", "get_events", keys.balance_secret, fields).get_json()["events"]
    assert [event["kind"] for event in told] == ["change_sum", "accept", "balance"]
    assert client.get("/health/ready").get_json()["oldest_due_age"] is None


def test_sending_one_again_by_hand_sends_nothing(app: Flask, keys: MerchantKeys) -> None:
    decide(app, open_payment(app, keys, callback_url=POLLED), 500_00)
    with app.app_context():
        resending.one(webhooks(app)[0].id, "cli")
    assert states(app) == ["delivered"]


@pytest.mark.parametrize("url", ["https://poll.invalid/other?x=1", "HTTPS://POLL.invalid:443/"])
def test_it_is_the_address_that_counts(app: Flask, keys: MerchantKeys, url: str) -> None:
    decide(app, open_payment(app, keys, callback_url=url), 500_00)
    assert states(app) == ["delivered"]


@pytest.mark.parametrize(
    "url", ["https://poll.invalid.shop.example/", "http://poll.invalid/", "https://a.poll.invalid/"]
)
def test_another_address_is_sent_to(app: Flask, keys: MerchantKeys, url: str) -> None:
    decide(app, open_payment(app, keys, callback_url=url), 500_00)
    assert states(app) == ["due"]
