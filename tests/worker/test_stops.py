"""How a worker ends, and that it lives through a database that goes away."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from sqlalchemy import func, select

from cerber.app import create_app
from cerber.db.transactions import reading
from cerber.webhooks import timings
from cerber.webhooks.models import Webhook
from tests.support.clock import now
from tests.support.databases import ENV, dispose
from tests.support.factories import MerchantKeys, make_merchant
from tests.support.mariadb_server import Server
from tests.support.shop import Shop
from tests.support.workers import (
    STOPS_WITHIN,
    attempts,
    changed_worker,
    end_leases,
    fill,
    put,
    states,
    stop,
    until,
    webhooks,
    worker,
)

PATIENCE = 3  # seconds that a worker of these tests waits for a database, in place of 19
GONE = 12  # seconds; a locked SQLite is waited for 15 s, an answer of MariaDB 30 s


@pytest.fixture
def away(server: Server) -> Iterator[tuple[Flask, dict[str, str]]]:
    """An app, and its environment, on a server that may be stopped."""
    env = ENV | {"CERBER_DATABASE_URL": server.url}
    app = create_app(env)
    yield app, env
    dispose(app)


def leased(app: Flask) -> int:
    with app.app_context(), reading() as session:
        count = select(func.count()).select_from(Webhook).where(Webhook.lease.is_not(None))
        return session.scalars(count).one()


def ids(shop: Shop) -> list[str]:
    return [arrival.headers["webhook-id"] for arrival in shop.arrivals]


def test_the_time_to_end_leaves_some_to_the_process() -> None:
    assert timings.LONGEST_ATTEMPT.total_seconds() < timings.STOPS_WITHIN < STOPS_WITHIN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_in_flight_and_gives_back_the_rest(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], number: int
) -> None:
    counter, url = shop
    fill(app, keys, url, 200)
    with worker(env) as process:
        counter.wait_for(20)
        counter.gate.clear()
        until(lambda: leased(app) >= counter.at_once > 0)
        process.send_signal(number)
        until(lambda: leased(app) == counter.at_once > 0)  # what waited in the worker is free again
        assert process.poll() is None
        counter.gate.set()
        assert process.wait(STOPS_WITHIN) == 0
    sent = set(ids(counter))
    for webhook in webhooks(app):
        assert webhook.lease is None
        if webhook.event_id in sent:
            assert (webhook.state, webhook.attempts) == ("delivered", 1)
        else:
            assert (webhook.state, webhook.attempts) == ("due", 0)
            assert webhook.due_at <= now()
    assert len(attempts(app)) == len(sent) < 200
    with worker(env, "--once") as process:
        assert process.wait(60) == 0
    assert states(app) == ["delivered"] * 200
    assert len(ids(counter)) == len(set(ids(counter))) == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_never_answers_holds_up_no_stop(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.gate.clear()
    fill(app, keys, url, 10)
    with worker(env) as process:
        counter.wait_for(1)
        stop(process)
    assert [str(attempt.outcome) for attempt in attempts(app)] == ["timeout"]
    assert (states(app), leased(app)) == (["due"] * 10, 0)
    assert [webhook.attempts for webhook in webhooks(app)] == [1] + [0] * 9


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_locked_holds_up_no_stop(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.gate.clear()
    fill(app, keys, url, 10)
    with changed_worker(env, f"loop.STOPS_WITHIN = {PATIENCE}") as process:
        counter.wait_for(1)
        with closing(sqlite3.connect(env["CERBER_DATABASE_URL"].removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            counter.gate.set()
            until(lambda: counter.at_once == 0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(GONE) == 0
    _continued(app, env, counter, sent=1, due=10)


@pytest.mark.parametrize("end", ["killed", "frozen"])
def test_a_database_that_is_away_holds_up_no_stop(
    away: tuple[Flask, dict[str, str]], server: Server, shop: tuple[Shop, str], end: str
) -> None:
    app, env = away
    counter, url = shop
    counter.gate.clear()
    fill(app, make_merchant(app, f"shop-{end}"), url, 10)
    with changed_worker(env, f"loop.STOPS_WITHIN = {PATIENCE}") as process:
        counter.wait_for(1)
        _take_away(server, end)
        try:
            counter.gate.set()
            until(lambda: counter.at_once == 0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(GONE) == 0
        finally:
            _bring_back(server)
    _continued(app, env, counter, sent=1, due=10)


def test_a_database_away_for_a_while_loses_nothing_and_stalls_nothing(
    away: tuple[Flask, dict[str, str]], server: Server, shop: tuple[Shop, str]
) -> None:
    app, env = away
    counter, url = shop
    counter.pause = 0.01
    keys = make_merchant(app, "shop-while")
    before = len(states(app))
    fill(app, keys, url, 1000)
    with worker(env) as process:
        for round_ in range(1, 3):
            counter.wait_for(150 * round_)
            server.kill()
            until(lambda: counter.at_once == 0)  # all that it had has been sent
            server.start()
        counter.wait_for(1000, 60)
        until(lambda: states(app)[before:] == ["delivered"] * 1000, 60)
        put(app, keys, url, "new")
        until(lambda: states(app)[-1] == "delivered")
        assert process.poll() is None
        stop(process)
    assert set(ids(counter)) == {webhook.event_id for webhook in webhooks(app)[before:]}
    assert len(ids(counter)) == 1001


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_outage_while_secrets_are_read_for_a_claim_stalls_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    outages = """
from sqlalchemy.exc import OperationalError
from cerber.merchants import keyring
real, calls = keyring.ring_of, []
def ring(signer):
    calls.append(1)
    if len(calls) in (2, 3):
        raise OperationalError("secrets", None, Exception())
    return real(signer)
keyring.ring_of = ring
"""
    fill(app, keys, url, 20)
    with changed_worker(env, outages) as process:
        until(lambda: states(app) == ["delivered"] * 20)
        stop(process)
    assert len(ids(counter)) == len(set(ids(counter))) == 20


def _continued(app: Flask, env: dict[str, str], counter: Shop, *, sent: int, due: int) -> None:
    """What could not be recorded is sent again when its lease is over, by the next worker."""
    assert len(counter.arrivals) == sent
    assert states(app)[-due:] == ["due"] * due
    end_leases(app)
    with worker(env, "--once") as process:
        assert process.wait(60) == 0
    assert states(app)[-due:] == ["delivered"] * due
    assert len(set(ids(counter))) == due
    assert len(ids(counter)) <= due + sent


def _take_away(server: Server, end: str) -> None:
    if end == "killed":
        server.kill()
    else:
        os.kill(_pid(server), signal.SIGSTOP)


def _bring_back(server: Server) -> None:
    if server.running:
        os.kill(_pid(server), signal.SIGCONT)
    server.start()


def _pid(server: Server) -> int:
    return server._process.pid  # type: ignore[union-attr]
