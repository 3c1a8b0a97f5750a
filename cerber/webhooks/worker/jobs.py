"""What a worker does now and then besides sending: heartbeats, expiry, tidying, figures. The scheduler runs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from math import inf

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from sqlalchemy.exc import ProgrammingError

from cerber.context import Clock
from cerber.db.transactions import OUTAGES
from cerber.webhooks.timings import HEARTBEAT
from cerber.webhooks.worker import heartbeats
from cerber.webhooks.worker.counters import Uncounted
from cerber.webhooks.worker.surprises import Surprises

AWAY = (*OUTAGES, ProgrammingError)  # the database, or its tables: both may come back
PAUSE = 1.0  # seconds, at least, between two runs of a job that is asked for, or that found something to do
CLOCK_JUMPED = 1.0  # seconds back

TIDY = 300.0  # seconds from here on: how often
UNASKED = 30.0  # what is asked for, too, whenever there is something to do

Duty = Callable[[], object]

logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a job is still at it is nobody's trouble


class Jobs:
    """The jobs of one worker, one after the other; each at its intervals, and when it is asked for."""

    def __init__(self, app: Flask, clock: Clock, surprises: Surprises) -> None:
        defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        executors = {"default": ThreadPoolExecutor(1)}
        self._scheduler = BackgroundScheduler(timezone="UTC", executors=executors, job_defaults=defaults)
        self._app = app
        self._clock = clock
        self._surprises = surprises
        self._jobs: dict[str, Duty] = {}
        self._not_before: dict[str, float] = {}
        self._ahead = time.time() - time.monotonic()

    def add(self, name: str, job: Duty, seconds: float) -> None:
        """A job, and its interval."""
        self._jobs[name] = job
        self._scheduler.add_job(self._run, "interval", (name,), id=name, seconds=seconds, next_run_time=self._clock())

    def start(self) -> None:
        """Runs each job once, soon, and from then on at its intervals."""
        self._scheduler.start()

    def run_all(self, is_over: Callable[[], bool]) -> None:
        """Here and now, each of them as long as it finds something to do. Raises what they raise."""
        with self._app.app_context():
            for job in self._jobs.values():
                while not is_over() and job():
                    pass

    def ask(self, **wanted: bool) -> None:
        """Has those jobs run soon that are wanted, unless one is at it or just was."""
        for name, is_wanted in wanted.items():
            if is_wanted and time.monotonic() >= self._not_before.get(name, 0.0):
                self._not_before[name] = inf
                self._soon(name)

    def look_at_clock(self) -> None:
        """The scheduler goes by the wall clock: set back by an hour, it would sleep for an hour."""
        before, self._ahead = self._ahead, time.time() - time.monotonic()
        if self._ahead < before - CLOCK_JUMPED:
            for name in self._jobs:
                self._soon(name)

    def stop(self) -> None:
        """Begins no job any more; one under way goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _soon(self, name: str, after: float = 0.0) -> None:
        with suppress(JobLookupError):  # stopped
            self._scheduler.modify_job(name, next_run_time=self._clock() + timedelta(seconds=after))

    def _run(self, name: str) -> None:
        ahead = self._ahead
        try:
            with self._app.app_context():
                found = self._jobs[name]()
            if (
                found or self._ahead < ahead - CLOCK_JUMPED
            ):  # there may be more; or it went by a clock that is no more
                self._soon(name, PAUSE)
        except AWAY:
            pass  # whoever looks for webhooks tells that, and each job runs again
        except Exception as error:
            self._surprises.tell(f"The job {name} failed", error)
        finally:
            self._not_before[name] = time.monotonic() + PAUSE


def fill(jobs: Jobs, worker: int, expire_due: Duty, uncounted: Uncounted, duties: Sequence[Duty]) -> None:
    """All that a worker does besides sending."""
    jobs.add("heartbeat", partial(heartbeats.beat, worker), HEARTBEAT)
    jobs.add("tidy", heartbeats.tidy, TIDY)
    jobs.add("expiry", expire_due, UNASKED)
    jobs.add("figures", uncounted.hand_in, UNASKED)
    jobs.add("duties", partial(_done, duties), UNASKED)


def _done(duties: Sequence[Duty]) -> bool:
    """Does them all. Whether any found something to do."""
    found = [duty() for duty in duties]
    return any(found)
