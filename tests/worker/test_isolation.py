"""That one endpoint's trouble stays its own: how many threads each holds, and how long the others wait."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from flask import Flask
from sqlalchemy import delete, func, insert, select, update

from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.webhooks.models import Endpoint, Webhook, WebhookAttempt
from tests.support.clock import now
from tests.support.factories import MerchantKeys, make_merchant
from tests.support.receivers import OK, Connection, Receiver
from tests.support.shop import Shop, open_shop
from tests.support.workers import change, fill, named, put, states, until, worker

THREADS = 8
FEW = 2
SOON = 2.0  # seconds from the commit of an event to its arrival
BACKLOG = 100_000


@pytest.fixture
def other_shop() -> Iterator[tuple[Shop, str]]:
    with open_shop() as opened:
        yield opened


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    return env | {"CERBER_DELIVERY_THREADS": str(THREADS), "CERBER_RETRY_SCHEDULE": "0,0.1,0.1,0.1,0.1,0.1"}


@pytest.fixture
def refusing() -> Iterator[str]:
    """A port that is bound, so that nobody else gets it, and where nobody listens."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/hook"


def waits(app: Flask, keys: MerchantKeys, opened: tuple[Shop, str], count: int = 5) -> list[float]:
    """How long new events take to arrive, one after the other."""
    shop, url = opened
    seconds = []
    for number in range(count):
        put(app, keys, url, f"new-{number}")
        committed = time.monotonic()
        arrival = shop.wait_for(number + 1)[number]
        assert named(arrival.body) == f"new-{number}"
        seconds.append(arrival.at - committed)
    return seconds


def test_a_quick_shop_has_half_of_the_threads_and_never_more(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.pause = 0.05
    fill(app, keys, url, 150)
    with worker(env, "--once") as process:
        assert process.wait(60) == 0
    assert states(app) == ["delivered"] * 150
    assert counter.most_at_once == THREADS // 2


def test_a_hanging_shop_holds_a_few_threads_and_costs_another_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], other_shop: tuple[Shop, str]
) -> None:
    hanging, url = shop
    hanging.gate.clear()
    quick, quick_url = other_shop
    fill(app, keys, url, 100)
    with worker(env):
        hanging.wait_for(1)
        fill(app, make_merchant(app, "shop-2"), quick_url, 200)
        quick.wait_for(200)
        assert len(hanging.arrivals) == hanging.most_at_once <= FEW


def test_a_shop_that_begins_to_hang_keeps_no_more_than_half_and_gives_back_what_waited(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], other_shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    fill(app, keys, url, 1000)
    with worker(env):
        counter.wait_for(50)
        counter.gate.clear()
        assert max(waits(app, make_merchant(app, "shop-2"), other_shop)) < 5 * SOON
        until(lambda: _leased(app) == counter.at_once)
        assert counter.at_once <= THREADS // 2
    assert counter.most_at_once <= THREADS // 2


def test_endpoints_that_hang_drip_refuse_or_fail_cost_another_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], refusing: str
) -> None:
    def hang(connection: Connection) -> None:
        connection.request()
        connection.hang()

    def drip(connection: Connection) -> None:
        connection.request()
        connection.drip(OK[:-6] + b"X-Long: " + b"x" * 10_000, 0.05)

    with (
        open_shop() as (failing, failing_url),
        closing(Receiver(hang)) as hanging,
        closing(Receiver(drip)) as dripping,
    ):
        failing.otherwise = 500
        for number, url in enumerate((hanging.url, dripping.url, refusing, failing_url), start=2):
            fill(app, make_merchant(app, f"shop-{number}"), url, 50)
        with worker(env):
            until(lambda: hanging.requests and dripping.requests and failing.arrivals)
            took = waits(app, keys, shop)
            assert statistics.median(took) < SOON, took
            # those two are still at their first ones
            assert len(hanging.requests) <= FEW
            assert len(dripping.requests) <= FEW
        assert failing.most_at_once <= FEW


def test_a_backlog_of_one_merchant_delays_no_other(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], other_shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    fill(app, keys, url, BACKLOG)
    try:
        with worker(env):
            counter.wait_for(100)
            took = waits(app, make_merchant(app, "shop-2"), other_shop)
        assert statistics.median(took) < SOON, took
        assert len(counter.arrivals) < BACKLOG / 2  # there was a backlog all the time
        ids = [arrival.headers["webhook-id"] for arrival in counter.arrivals]
        assert len(set(ids)) == len(ids)
    finally:
        change(app, delete(WebhookAttempt))
        change(app, delete(Webhook))


def _leased(app: Flask) -> int:
    with app.app_context(), reading() as session:
        count = select(func.count()).select_from(Webhook).where(Webhook.lease.is_not(None))
        return session.scalars(count).one()


def test_one_merchant_with_many_hanging_endpoints_delays_nobody_new(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    quick, quick_url = shop
    with ExitStack() as stack:
        hanging = [stack.enter_context(open_shop()) for _ in range(2 * THREADS)]
        for counter, url in hanging:
            counter.gate.clear()
            fill(app, keys, url, 2)
        with worker(env):
            until(lambda: sum(len(counter.arrivals) for counter, _ in hanging) == FEW)
            fill(app, make_merchant(app, "shop-2"), quick_url, 1)
            quick.wait_for(1, seconds=10)  # well before a hanging attempt is over
            assert sum(len(counter.arrivals) for counter, _ in hanging) == FEW


def test_thousands_of_endpoints_at_once_are_all_served(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    fill(app, keys, url, 1000)
    fill(app, keys, url, 200)
    spread_over_endpoints(app)
    with worker(env, "--once") as process:
        assert process.wait(110) == 0
    assert len(counter.arrivals) == 1200
    assert set(states(app)) == {"delivered"}


def spread_over_endpoints(app: Flask) -> None:
    """Gives each event an endpoint of its own; the URLs stay."""
    with app.app_context():
        merchant = db.session.scalars(select(Webhook.merchant_id).limit(1)).one()
        events = db.session.scalars(select(Webhook.id)).all()
        row = {"merchant_id": merchant, "created_at": now()}
        db.session.execute(insert(Endpoint), [row | {"origin": f"https://shop-{pk}.example"} for pk in events])
        made = db.session.scalars(select(Endpoint.id).where(Endpoint.origin.startswith("https://shop-"))).all()
        for pk, endpoint in zip(events, made, strict=True):
            db.session.execute(update(Webhook).where(Webhook.id == pk).values(endpoint_id=endpoint))
        db.session.commit()
