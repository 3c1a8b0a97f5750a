"""Webhooks on their way: a real worker process, a real database, real sockets."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update
from standardwebhooks import Webhook as StandardWebhook

from cerber.app import create_app
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.merchants import accounts
from cerber.payments import decisions
from cerber.payments.expiry import expire_due
from cerber.payments.models import Payment
from cerber.wallets.models import Wallet
from cerber.webhooks import resending
from cerber.webhooks.models import Webhook, WebhookAttempt, Worker
from cerber.webhooks.worker.loop import Delivery
from tests.support.clock import now
from tests.support.factories import MerchantKeys, call, open_payment, payment
from tests.support.shop import Shop
from tests.support.workers import changed_worker, decide, end_leases, fill, states, until, worker


def test_a_webhook_arrives_signed_in_both_ways_and_in_order(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500]
    key = open_payment(app, keys, callback_url=url)
    decide(app, key, 200_00, 300_00)
    with worker(env) as process:
        arrivals = counter.wait_for(3)
        until(lambda: states(app) == ["delivered", "delivered"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    changed = b'{"payment_id": 3636363, "confirm_sum": "200", "payment_sum": "500"}'
    accepted = b'{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}'
    assert [arrival.body for arrival in arrivals] == [changed, changed, accepted]
    assert arrivals[0].headers["webhook-id"] == arrivals[1].headers["webhook-id"]
    for arrival in arrivals:
        assert arrival.is_signed_with(keys.payment_secret)
        StandardWebhook(keys.payment_secret).verify(arrival.body, arrival.headers)
    with app.app_context(), reading() as session:
        outcomes = [str(one) for one in session.scalars(select(WebhookAttempt.outcome).order_by(WebhookAttempt.id))]
        assert outcomes == ["500", "200", "200"]
        assert session.scalars(select(Worker)).all()


def test_once_sends_what_is_due_and_exits(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    for number in range(5):
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=url), 500_00)
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert len(counter.arrivals) == 5
    assert states(app) == ["delivered"] * 5


def test_a_worker_expires_payments(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    key = open_payment(app, keys, callback_url=url)
    with app.app_context():
        db.session.get_one(Payment, key).due_at = now() - timedelta(seconds=1)
        db.session.commit()
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert json.loads(counter.arrivals[0].body)["status"] == "cancel"


def test_what_is_refused_for_good_or_too_often_is_given_up_and_can_be_sent_again(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [410, 500, 500, 500]
    decide(app, open_payment(app, keys, payment_id="1", callback_url=url), 500_00)
    with worker(env) as process:
        until(lambda: states(app) == ["given_up"])
        decide(app, open_payment(app, keys, payment_id="2", callback_url=url), 500_00)
        until(lambda: states(app) == ["given_up", "given_up"])
        assert len(counter.arrivals) == 4
        with app.app_context(), reading() as session:
            first = session.scalars(select(Webhook.id).order_by(Webhook.id)).first()
        with app.app_context():
            resending.one(first, "operator:a")
        counter.wait_for(5)
        until(lambda: states(app) == ["delivered", "given_up"])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert counter.arrivals[4].headers["webhook-id"] == counter.arrivals[0].headers["webhook-id"]
    assert counter.arrivals[4].body == counter.arrivals[0].body


def test_a_worker_killed_between_send_and_record_loses_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.gate.clear()
    key = open_payment(app, keys, callback_url=url)
    decide(app, key, 200_00, 300_00)
    with worker(env) as process:
        counter.wait_for(1)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert states(app) == ["due", "due"]
    with app.app_context(), reading() as session:
        held = session.scalars(select(Webhook.due_at).order_by(Webhook.id)).first()
        assert held - now() <= timedelta(seconds=30)
    end_leases(app)
    counter.gate.set()
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    sums = [json.loads(arrival.body)["confirm_sum"] for arrival in counter.arrivals]
    assert sums == ["200", "200", "500"]
    assert states(app) == ["delivered", "delivered"]


def test_a_rotation_reaches_the_webhooks_with_the_first_request_signed_anew(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    with app.app_context():
        new = accounts.rotate(keys.merch_id, "payment", timedelta(hours=24), "cli").secret
    decide(app, open_payment(app, keys, payment_id="1", callback_url=url), 500_00)
    with worker(env) as process:
        first = counter.wait_for(1)[0]
        call(app.test_client(), "GET", "get_status", new, {"payment_id": "1"})
        decide(app, open_payment(app, keys, payment_id="2", callback_url=url), 500_00)
        second = counter.wait_for(2)[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert first.is_signed_with(keys.payment_secret)
    assert len(first.headers["webhook-signature"].split()) == 2
    for secret in (keys.payment_secret, new):
        StandardWebhook(secret).verify(first.body, first.headers)
    assert second.is_signed_with(new)


def test_three_workers_claim_nothing_twice(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.pause = 0.2
    fill(app, keys, url, 100)
    for number in range(10):
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=url), 500_00)
    with worker(env, "--once") as one, worker(env, "--once") as two, worker(env, "--once") as three:
        assert [process.wait(60) for process in (one, two, three)] == [0, 0, 0]
    ids = [arrival.headers["webhook-id"] for arrival in counter.arrivals]
    assert (len(ids), len(set(ids))) == (110, 110)
    assert states(app) == ["delivered"] * 110


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_two_workers_on_a_server_without_skip_locked_claim_nothing_twice(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.pause = 0.02
    fill(app, keys, url, 300)
    old_server = "loop.claimable.skips_locked = lambda engine: False"
    with changed_worker(env, old_server, "--once") as one, changed_worker(env, old_server, "--once") as two:
        assert [process.wait(60) for process in (one, two)] == [0, 0]
    ids = [arrival.headers["webhook-id"] for arrival in counter.arrivals]
    assert (len(ids), len(set(ids))) == (300, 300)
    assert states(app) == ["delivered"] * 300


def test_a_worker_is_idle_while_all_that_is_due_waits_for_an_earlier_event(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [404]
    decide(app, open_payment(app, keys, callback_url=url), 200_00, 300_00)
    patient = create_app(env | {"CERBER_RETRY_SCHEDULE": "0,600"})
    worker = Delivery(patient, "test", expire_due)
    until(lambda: worker.step(wait=0.05) and attempts(app) == 1)
    assert not any(worker.step(wait=0) for _ in range(5))
    worker.finish()
    assert len(counter.arrivals) == 1
    assert states(app) == ["due", "due"]


def attempts(app: Flask) -> int:
    with app.app_context(), reading() as session:
        return len(session.scalars(select(WebhookAttempt.id)).all())


def test_a_single_run_can_be_stopped_too(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.gate.clear()
    for number in range(30):
        decide(app, open_payment(app, keys, payment_id=str(number), callback_url=url), 500_00)
    with worker(env, "--once") as process:
        counter.wait_for(1)
        process.send_signal(signal.SIGTERM)
        counter.gate.set()
        assert process.wait(20) == 0
    assert states(app).count("delivered") == len(counter.arrivals) < 30


def test_sending_an_undelivered_event_again_lets_nothing_overtake_it(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500, 500]
    key = open_payment(app, keys, callback_url=url)
    decide(app, key, 200_00)
    patient = create_app(env | {"CERBER_RETRY_SCHEDULE": "0,2,2,2"})
    worker = Delivery(patient, "test", expire_due)
    until(lambda: worker.step(wait=0.05) and attempts(app) == 1)
    with app.app_context():
        resending.one(db.session.scalars(select(Webhook.id)).one(), "operator:a")
    until(lambda: worker.step(wait=0.05) and attempts(app) == 2)
    with app.app_context():
        decisions.record_transfer(key, 2, "operator:a", 300_00)
    until(lambda: worker.step(wait=0.05) and states(app) == ["delivered", "delivered"])
    worker.finish()
    assert [json.loads(arrival.body)["confirm_sum"] for arrival in counter.arrivals] == ["200", "200", "200", "500"]


def test_a_payment_that_cannot_be_expired_stops_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    broken, due = (open_payment(app, keys, payment_id=name, callback_url=url) for name in ("1", "2"))
    with app.app_context():
        for minutes, key in ((2, broken), (1, due)):
            db.session.get_one(Payment, key).due_at = now() - timedelta(minutes=minutes)
        db.session.execute(update(Wallet).values(expected=500_00))  # too little for both
        db.session.commit()
        db.session.execute(update(Payment).filter_by(id=broken).values(sum=600_00))
        db.session.commit()
    decide(app, open_payment(app, keys, payment_id="3", callback_url=url), 500_00)
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert sorted(json.loads(arrival.body)["payment_id"] for arrival in counter.arrivals) == ["2", "3"]
    assert payment(app, broken).status == "pending"
