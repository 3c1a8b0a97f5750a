"""A worker whose clock jumps: back by an hour, which is what hurts, it loses nothing and stalls nothing."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from cerber.db.transactions import reading
from cerber.webhooks.models import Worker
from cerber.webhooks.worker.claims import LEASE
from tests.support.clock import now
from tests.support.factories import MerchantKeys
from tests.support.shop import Shop, open_shop
from tests.support.workers import attempts, changed_worker, fill, named, put, states, stop, until, webhooks

HOUR = timedelta(hours=1)
SCHEDULE = {"CERBER_RETRY_SCHEDULE": "0,1,1", "CERBER_DELIVERY_THREADS": "8"}


class WorkersClock:
    """What a worker takes for the time: the machine's, and what a file adds to it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.ahead(timedelta())

    def ahead(self, by: timedelta) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{by.total_seconds()}")
        new.replace(self._file)

    @property
    def changes(self) -> str:
        """Makes it the worker's clock, and its scheduler's."""
        return f"""
import datetime, pathlib, time
from apscheduler.executors import base as executors
from apscheduler.schedulers import base as schedulers
from cerber.context import system_clock
ahead = lambda: float(pathlib.Path({str(self._file)!r}).read_text())
def clock():
    return system_clock() + datetime.timedelta(seconds=ahead())
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.datetime.now(zone) + datetime.timedelta(seconds=ahead())
for module in (executors, schedulers):
    assert module.datetime is datetime.datetime
    module.datetime = Shifted
real = time.time
time.time = lambda: real() + ahead()
"""


@pytest.fixture
def its_clock(tmp_path: Path) -> WorkersClock:
    return WorkersClock(tmp_path / "ahead")


def heartbeats(app: Flask) -> list[timedelta]:
    """How far each worker's heartbeat is ahead of the time."""
    with app.app_context(), reading() as session:
        return [beat - now() for beat in session.scalars(select(Worker.heartbeat_at).order_by(Worker.id))]


def test_a_clock_that_jumps_back_loses_nothing_and_stalls_nothing(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], its_clock: WorkersClock
) -> None:
    counter, url = shop
    its_clock.ahead(HOUR)
    with open_shop() as (failing, failing_url), changed_worker(env | SCHEDULE, its_clock.changes) as process:
        put(app, keys, url, "before")
        until(lambda: states(app) == ["delivered"])
        failing.statuses = [500]
        put(app, keys, failing_url, "failed")
        until(lambda: len(attempts(app)) == 2)
        assert webhooks(app)[1].due_at > now() + HOUR / 2  # it waits for a time that won't come soon
        counter.gate.clear()
        put(app, keys, url, "in flight")
        counter.wait_for(2)
        its_clock.ahead(timedelta())
        # one that ran is on its way still, and what was put off is mended
        assert named(failing.wait_for(2)[1].body) == "failed"
        put(app, keys, failing_url, "after")
        assert named(failing.wait_for(3)[2].body) == "after"
        until(lambda: webhooks(app)[2].due_at <= now() + LEASE)  # comes free in time if we die
        assert [named(arrival.body) for arrival in counter.arrivals] == ["before", "in flight"]
        counter.gate.set()
        until(lambda: states(app) == ["delivered"] * 4)
        stop(process)
    assert len(attempts(app)) == 5
    assert len(counter.arrivals) == 2


def test_an_idle_worker_whose_clock_jumps_back_takes_the_next_event(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], its_clock: WorkersClock
) -> None:
    counter, url = shop
    its_clock.ahead(HOUR)
    with changed_worker(env | SCHEDULE, its_clock.changes) as process:
        until(lambda: heartbeats(app) and heartbeats(app)[0] > HOUR / 2)
        its_clock.ahead(timedelta())
        put(app, keys, url, "next")
        counter.wait_for(1)
        its_clock.ahead(-HOUR)  # and once more
        until(lambda: heartbeats(app)[0] < -HOUR / 2)
        its_clock.ahead(timedelta())
        put(app, keys, url, "last")
        counter.wait_for(2)
        stop(process)
    assert states(app) == ["delivered"] * 2


def test_what_a_dead_worker_with_a_clock_ahead_had_claimed_comes_free(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], its_clock: WorkersClock
) -> None:
    counter, url = shop
    its_clock.ahead(HOUR)
    counter.gate.clear()
    put(app, keys, url, "claimed")
    with changed_worker(env | SCHEDULE, its_clock.changes) as process:
        counter.wait_for(1)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    counter.gate.set()
    assert webhooks(app)[0].due_at > now() + HOUR / 2
    its_clock.ahead(timedelta())
    with changed_worker(env | SCHEDULE, its_clock.changes) as process:
        until(lambda: webhooks(app)[0].due_at <= now() + LEASE)
        assert len(counter.arrivals) == 1  # its lease may be alive
        its_clock.ahead(LEASE)  # it passes
        counter.wait_for(2)
        until(lambda: states(app) == ["delivered"])
        stop(process)


def test_a_busy_worker_whose_clock_jumped_back_can_be_stopped(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str], its_clock: WorkersClock
) -> None:
    counter, url = shop
    counter.pause = 0.05
    its_clock.ahead(HOUR)
    fill(app, keys, url, 5000)
    with changed_worker(env | SCHEDULE, its_clock.changes) as process:
        counter.wait_for(20)
        its_clock.ahead(timedelta())
        until(lambda: heartbeats(app)[0] < HOUR / 2)
        stop(process)
    assert len(counter.arrivals) < 5000
    assert states(app).count("delivered") == len(counter.arrivals)
    assert not [webhook for webhook in webhooks(app) if webhook.lease]
