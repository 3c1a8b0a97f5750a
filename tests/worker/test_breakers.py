"""Endpoints that fail: their events are held and one is sent now and then to see, until one answer releases all."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from cerber.webhooks import resending
from cerber.webhooks.models import Breaker, Webhook
from cerber.webhooks.worker import heartbeats
from tests.support.clock import now
from tests.support.factories import MerchantKeys, open_payment
from tests.support.receivers import OK, Connection, Receiver
from tests.support.shop import Shop, open_shop
from tests.support.workers import (
    attempts,
    breaker,
    change,
    changed_worker,
    decide,
    fill,
    named,
    put,
    states,
    stop,
    until,
    webhooks,
    worker,
)

JITTERED = 0.8  # of a distance, at least
QUICK = {"CERBER_RETRY_SCHEDULE": "0,0.4,0.8,1.6", "CERBER_DELIVERY_THREADS": "4"}
MOST_CHARGED = 4 + 2 * 2  # beside the first four two may be on their way, and two have come back unrecorded
SLOW = {"CERBER_RETRY_SCHEDULE": "0,600,600", "CERBER_DELIVERY_THREADS": "1"}  # one after the other, then a long wait


def charged(app: Flask) -> list[int]:
    return [webhook.attempts for webhook in webhooks(app)]


def held(app: Flask) -> Breaker | None:
    row = breaker(app)
    return row if row is not None and row.held_since is not None else None


def probe_now(app: Flask) -> None:
    change(app, update(Breaker).where(Breaker.held_since.is_not(None)).values(probe_at=now()))


def test_after_five_failures_all_is_held_and_single_probes_go_at_growing_distances(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.otherwise, counter.pause = 500, 0.05
    started = now()
    fill(app, keys, url, 20)
    with worker(env | QUICK) as process:
        row = until(lambda: held(app))
        until(lambda: counter.at_once == 0 and len(attempts(app)) == len(counter.arrivals))
        counter.pause, counter.most_at_once = 0.2, 0
        until(lambda: (breaker(app) or row).probes == 3, 40)
        last = breaker(app)
        stop(process)
    assert last is not None
    assert (last.why, last.held_since) == ("answered 500", row.held_since)
    assert started <= row.held_since <= now()  # type: ignore[operator]
    paid = sum(charged(app))
    assert 5 <= paid <= MOST_CHARGED
    assert len(attempts(app)) == len(counter.arrivals) == paid + 3
    assert counter.most_at_once == 1
    moments = [row.held_since, *(attempt.at for attempt in attempts(app)[paid:])]
    for distance, earlier, later in zip((0.4, 0.8, 1.6), moments, moments[1:], strict=False):
        assert later - earlier >= timedelta(seconds=JITTERED * distance)  # type: ignore[operator]
    assert states(app) == ["due"] * 20


def test_the_first_success_releases_all_that_is_held_in_order(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500] * 5
    payments = [open_payment(app, keys, payment_id=str(number), callback_url=url) for number in range(3)]
    for key in payments:
        decide(app, key, 200_00, 300_00)
    fill(app, keys, url, 8)
    with worker(env | SLOW) as process:
        until(lambda: held(app))
        assert len(counter.arrivals) == 5
        probe_now(app)
        until(lambda: states(app) == ["delivered"] * 14)
        stop(process)
    assert breaker(app) is None
    # the probe is the first that was not tried yet: each of the payments' second events waits for its first
    failed, probe, rest = counter.arrivals[:5], counter.arrivals[5], counter.arrivals[6:]
    assert [named(arrival.body) for arrival in (*failed[3:], probe)] == ["0", "1", "2"]
    others = [named(arrival.body) for arrival in rest if b"name" in arrival.body]
    assert others == ["0", "1", "3", "4", "5", "6", "7"]
    order = [webhook.event_id for webhook in webhooks(app)][:6]
    about_payments = [a.headers["webhook-id"] for a in rest if b"name" not in a.body]
    assert sorted(about_payments) == sorted(order)
    firsts = [event for event in about_payments if event in order[::2]]
    assert firsts == order[::2]
    for first, second in zip(order[::2], order[1::2], strict=True):
        assert about_payments.index(first) < about_payments.index(second)
    assert charged(app) == [2, 1] * 3 + [2, 2] + [1] * 6


def test_a_release_begins_with_the_oldest_however_often_it_was_tried(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500] * 7
    fill(app, keys, url, 10)
    with worker(env | SLOW | {"CERBER_DELIVERY_THREADS": "1"}) as process:
        until(lambda: held(app))
        for probes in (1, 2):
            probe_now(app)
            until(lambda probes=probes: breaker(app).probes == probes)  # type: ignore[misc]
        probe_now(app)
        until(lambda: states(app) == ["delivered"] * 10)
        stop(process)
    released = [int(named(arrival.body)) for arrival in counter.arrivals[8:]]
    assert released == sorted(released)


def test_no_other_worker_sends_what_is_held_and_resending_by_hand_probes_at_once(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500] * 5
    fill(app, keys, url, 12)
    with worker(env | SLOW, "--once") as process:
        assert process.wait(30) == 0
    assert charged(app) == [1] * 5 + [0] * 7
    assert held(app)
    with worker(env | SLOW, "--once") as process:
        assert process.wait(30) == 0
    put(app, keys, url, "new")
    with worker(env | SLOW) as process:
        with app.app_context():
            resending.one(webhooks(app)[0].id, "operator:a")
        until(lambda: states(app) == ["delivered"] * 13)
        stop(process)
    assert breaker(app) is None
    names = [named(arrival.body) for arrival in counter.arrivals]
    # the first one was sent again by hand: it is the newest now
    assert names == ["0", "1", "2", "3", "4", "5", "1", "2", "3", "4", *map(str, range(6, 12)), "new", "0"]


def test_a_refused_connection_trips_it_and_what_was_held_goes_out_when_the_endpoint_is_back(
    app: Flask, env: dict[str, str], keys: MerchantKeys
) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        port = bound.getsockname()[1]
        fill(app, keys, f"http://127.0.0.1:{port}/hook", 20)
        with worker(env | QUICK) as process:
            row = until(lambda: held(app))
            assert row.why == f"127.0.0.1 port {port}: connection refused"
            bound.close()
            with open_shop(port) as (counter, _):
                counter.wait_for(20)
                until(lambda: states(app) == ["delivered"] * 20)
                stop(process)
    assert breaker(app) is None
    assert sum(charged(app)) <= 20 + MOST_CHARGED


def test_time_outs_trip_it_too(app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]) -> None:
    counter, url = shop
    counter.gate.clear()
    fill(app, keys, url, 8)
    hasty = "import functools\nloop.Client = functools.partial(loop.Client, total_timeout=0.3)"
    with changed_worker(env | SLOW, hasty) as process:
        row = until(lambda: held(app))
        assert row.why == "no answer in time"
        stop(process)
    assert len(counter.arrivals) == 5
    assert charged(app) == [1] * 5 + [0] * 3


def test_what_is_refused_of_one_order_never_trips_it_and_resets_it(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500] * 4 + [404, 422, 400, 401, 410, 404] + [500] * 4
    fill(app, keys, url, 4)
    with worker(env | SLOW) as process:
        row = until(lambda: breaker(app) if len(attempts(app)) == 4 else None)
        assert (row.failures, row.held_since) == (4, None)
        fill(app, keys, url, 6)
        until(lambda: len(attempts(app)) == 10)
        assert breaker(app) is None
        fill(app, keys, url, 4)
        until(lambda: len(attempts(app)) == 14)
        row = until(lambda: breaker(app))
        assert (row.failures, row.held_since) == (4, None)
        stop(process)
    assert charged(app) == [1] * 14
    assert states(app) == ["due"] * 8 + ["given_up"] + ["due"] * 5
    assert [str(attempt.outcome) for attempt in attempts(app)][4:10] == ["404", "422", "400", "401", "410", "404"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_probe_that_is_refused_for_its_order_releases_the_others(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], status: int
) -> None:
    counter, url = shop
    counter.statuses = [500] * 5 + [status]
    fill(app, keys, url, 8)
    with worker(env | SLOW) as process:
        until(lambda: held(app))
        probe_now(app)
        until(lambda: states(app).count("delivered") == 7)
        stop(process)
    assert breaker(app) is None
    assert states(app)[5] == ("given_up" if status == 410 else "due")
    assert charged(app) == [2] * 5 + [1] * 3
    assert named(counter.arrivals[5].body) == "5"


def test_who_asked_to_wait_is_left_alone_until_then(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [503] * 5
    counter.headers = {"Retry-After": "3600"}
    fill(app, keys, url, 8)
    asked = now() + timedelta(seconds=3600)
    with worker(env | SLOW) as process:
        until(lambda: held(app))
        counter.headers = {}
        probe_now(app)
        until(lambda: states(app)[5:] == ["delivered"] * 3)
        stop(process)
    assert breaker(app) is None
    assert states(app)[:5] == ["due"] * 5
    for webhook in webhooks(app)[:5]:
        assert webhook.due_at >= webhook.not_before >= asked  # type: ignore[operator]
    assert [named(arrival.body) for arrival in counter.arrivals] == [str(number) for number in range(8)]


def test_a_probe_that_is_asked_to_wait_waits_and_another_is_the_next(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.statuses = [500] * 5 + [429]
    fill(app, keys, url, 8)
    with worker(env | SLOW) as process:
        until(lambda: held(app))
        counter.headers = {"Retry-After": "3600"}
        probe_now(app)
        until(lambda: (held(app) or Breaker(probes=0)).probes == 1)
        assert charged(app) == [1] * 5 + [0] * 3
        probe_now(app)
        until(lambda: states(app) == ["delivered"] * 5 + ["due"] + ["delivered"] * 2)
        stop(process)
    assert [named(arrival.body) for arrival in counter.arrivals[5:7]] == ["5", "6"]


def test_what_was_held_for_seven_days_is_given_up(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.otherwise = 500
    fill(app, keys, url, 9)
    with worker(env | SLOW, "--once") as process:
        assert process.wait(30) == 0
    week = timedelta(days=7)
    ids = [webhook.id for webhook in webhooks(app)]
    change(app, update(Webhook).where(Webhook.id.in_(ids[:8])).values(queued_at=now() - week))
    with app.app_context():
        heartbeats.tidy()
    assert states(app) == ["due"] * 9  # the endpoint is held for a moment only
    change(app, update(Breaker).values(held_since=now() - week))
    with app.app_context():
        heartbeats.tidy()
    assert states(app) == ["given_up"] * 8 + ["due"]
    assert all(webhook.closed_at for webhook in webhooks(app)[:8])
    assert held(app)


def test_failures_of_our_own_side_cost_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    fill(app, keys, url, 8)
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        cut_off = env | SLOW | {"CERBER_EGRESS_PROXY": f"http://127.0.0.1:{bound.getsockname()[1]}"}
        with worker(cut_off, "--once") as process:
            assert process.wait(30) == 0
        assert {str(attempt.outcome) for attempt in attempts(app)} == {"own_side"}
        assert (len(attempts(app)), charged(app), breaker(app)) == (8, [0] * 8, None)
        assert max(webhook.due_at for webhook in webhooks(app)) <= now() + timedelta(seconds=18)
        change(app, update(Webhook).values(due_at=now()))
        counter.statuses = [500] * 5
        with worker(env | SLOW, "--once") as process:
            assert process.wait(30) == 0
        probe_now(app)
        with worker(cut_off, "--once") as process:  # a probe that does not leave the house
            assert process.wait(30) == 0
    row = until(lambda: held(app))
    assert (row.probes, row.failures, row.why) == (0, 5, "answered 500")
    assert row.probe_at > now()  # type: ignore[operator]
    assert charged(app) == [1] * 5 + [0] * 3
    assert [str(attempt.outcome) for attempt in attempts(app)][8:] == ["500"] * 5 + ["own_side"]


def test_distances_are_capped_at_five_minutes(
    env: dict[str, str], app: Flask, keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.otherwise = 500
    fill(app, keys, url, 5)
    with worker(env | {"CERBER_RETRY_SCHEDULE": "0,86400"}, "--once") as process:
        assert process.wait(30) == 0
    row = until(lambda: held(app))
    distance = row.probe_at - row.held_since  # type: ignore[operator]
    assert timedelta(seconds=150) < distance <= timedelta(seconds=300)


def test_a_success_of_an_event_claimed_before_the_breaker_was_made_ends_its_row_of_failures(
    app: Flask, env: dict[str, str], keys: MerchantKeys
) -> None:
    answer = threading.Event()

    def script(connection: Connection) -> None:
        while request := connection.request():
            if b'"first"' in request:
                answer.wait(30)
                connection.send(OK)
            else:
                connection.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

    with closing(Receiver(script)) as receiver:
        put(app, keys, receiver.url, "first")
        with worker(env | SLOW) as patient:
            until(lambda: len(receiver.requests) == 1)
            fill(app, keys, receiver.url, 4)
            with worker(env | SLOW, "--once") as other:
                assert other.wait(30) == 0
            row = breaker(app)
            assert row is not None
            assert (row.failures, row.held_since) == (4, None)
            answer.set()
            until(lambda: states(app)[0] == "delivered")
            assert breaker(app) is None
            stop(patient)
    assert charged(app) == [1] * 5
