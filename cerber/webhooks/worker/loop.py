"""The delivery worker: claim (commit), send with no transaction open, record (commit).

The main thread looks for due webhooks, by the monotonic clock: at once while there is work, else each
CERBER_POLL_INTERVAL. Threads send them (`sender`), a scheduler runs all that is periodic (`jobs`).
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable, Sequence

from flask import Flask

from cerber.context import clock, settings
from cerber.db import schema
from cerber.errors import Unavailable
from cerber.webhooks.client import Client
from cerber.webhooks.timings import STOPS_WITHIN
from cerber.webhooks.worker import claimable, heartbeats, jobs
from cerber.webhooks.worker.agenda import Agenda, Due
from cerber.webhooks.worker.delivery import Ready
from cerber.webhooks.worker.jobs import AWAY, Duty, Jobs
from cerber.webhooks.worker.recorder import Recorder
from cerber.webhooks.worker.sender import Sender
from cerber.webhooks.worker.stopping import Stop
from cerber.webhooks.worker.surprises import Surprises

LOOK_AGAIN = 0.03  # seconds between two looks while there is work
STAY = 1.0  # seconds without work until the worker is idle
RECORDED_AT_ONCE = 64

log = logging.getLogger(__name__)


class Delivery:
    """One worker. `stop` says when it is to end."""

    def __init__(
        self, app: Flask, name: str, expire_due: Duty, duties: Sequence[Duty] = (), stop: Stop | None = None
    ) -> None:
        self._app = app
        self._stop = stop or Stop()
        self._surprises = Surprises()
        self._recorder = Recorder(self._surprises)
        self._plenty = False  # whether the last turn claimed anything
        self._next_look = 0.0
        self._away = False  # the database
        with app.app_context():
            client = Client(settings().allow_private_callbacks, settings().egress_proxy)
            self._sender = Sender(settings().delivery_threads, client, clock(), self._surprises)
            self._agenda = Agenda()
            self._worker = heartbeats.start(name)
            self._jobs = Jobs(app, clock(), self._surprises)
        jobs.fill(self._jobs, self._worker, expire_due, self._recorder.uncounted, duties)

    def run(self, poll: float) -> None:
        """Until it is stopped: looks each `poll` seconds, and at once while there is work."""
        self._jobs.start()
        idle_from = 0.0
        while not self._stop.asked:
            busy = self._sender.in_flight or time.monotonic() < idle_from
            if not busy:
                self._stop.sleep(poll)
            if self._tried(self.step, LOOK_AGAIN if busy else None):
                idle_from = time.monotonic() + STAY
            self._jobs.look_at_clock()
        self.finish()

    def run_once(self, seconds: float) -> None:
        """Sends what is due, until nothing is or the time is over; then waits for what is in flight."""
        ends = time.monotonic() + seconds
        try:
            self._jobs.run_all(lambda: self._stop.asked or time.monotonic() >= ends)
            self._jobs.start()
            while not self._stop.asked and time.monotonic() < ends:
                if not self.step(LOOK_AGAIN) and not self._sender.in_flight:
                    break
        finally:
            self.finish()

    def step(self, wait: float | None) -> bool:
        """Records what came back within `wait` seconds, claims and sends; None: an idle worker's step. Whether it did
        anything."""
        if self._sender.in_flight:
            self._sender.collect(self._recorder, wait or 0.0, RECORDED_AT_ONCE)
        elif wait:
            self._stop.sleep(wait)
        due = self._agenda.glance() if wait is None else self._look()
        self._jobs.ask(expiry=due.expiry, figures=self._recorder.uncounted.due, duties=bool(self._recorder))
        if not (due.event or self._recorder):
            return False
        with self._app.app_context():
            return self._turn(claimable.endpoints() if due.event else [])

    def finish(self) -> None:
        """Begins nothing more, waits for what is in flight, records it, gives back the rest, and says goodbye. What
        can't be recorded in time, the database being away, comes free with its lease."""
        ends = time.monotonic() + STOPS_WITHIN
        self._jobs.stop()
        self._sender.close()
        while (self._sender.in_flight or self._recorder) and time.monotonic() < ends:
            self._sender.collect(self._recorder, LOOK_AGAIN, RECORDED_AT_ONCE)
            self._tried(self._last_turn)
        if not self._recorder:  # else the database is away
            self._tried(self._say_goodbye)
        self._agenda.close()
        self._sender.leave()

    def _tried(self, what: Callable[..., bool], *arguments: float | None) -> bool:
        """Whether it did anything. A database that is away and what nobody foresaw are told once, and tried again."""
        try:
            did = what(*arguments)
        except AWAY as error:
            if not self._away:
                log.warning("The database does not answer, and is asked again each poll: %s", _cause(error))
            self._away = True
        except Exception as error:
            self._surprises.tell("A turn of the worker failed", error)
        else:
            if self._away:
                log.warning("The database answers again.")
            self._away = False
            return did
        time.sleep(LOOK_AGAIN)
        return False

    def _look(self) -> Due:
        """What is due. While there is plenty to send it is not asked each time."""
        if self._plenty and time.monotonic() < self._next_look:
            return Due(event=True, expiry=False)
        self._next_look = time.monotonic() + STAY
        return self._agenda.look()

    def _turn(self, ready: list[Ready]) -> bool:
        """One transaction with the outbox, if there is a reason for it; then sends what it claimed. Whether anything
        came of it: what is due may all wait for earlier events."""
        wanted, reported = self._sender.room(ready), bool(self._recorder)
        self._plenty = False
        if not (reported or wanted):
            return False
        turn = self._recorder.turn(wanted)
        self._plenty = bool(turn.claims)
        self._sender.send(turn.claims)
        held = [endpoint for endpoint, breaker in turn.breakers.items() if breaker and breaker.held_since]
        self._sender.take_back(self._recorder, held)
        return reported or self._plenty

    def _last_turn(self) -> bool:
        with self._app.app_context():
            return self._turn([])

    def _say_goodbye(self) -> bool:
        with self._app.app_context():
            self._recorder.uncounted.hand_in(at_once=True)
            heartbeats.goodbye(self._worker)
        return True


def run(app: Flask, expire_due: Duty, duties: Sequence[Duty] = ()) -> None:
    """`flask deliver`: until SIGTERM or SIGINT; then finishes what is in flight.

    `expire_due` is called when a payment is due to expire, `duties` every few seconds: both belong to rooms that this
    one doesn't know.
    """
    delivery = _started(app, "", expire_due, duties)
    with app.app_context():
        poll = settings().poll_interval
    delivery.run(poll)


def run_once(app: Flask, expire_due: Duty, seconds: float | None, duties: Sequence[Duty] = ()) -> None:
    """`flask deliver --once`: sends what is due, then returns. `seconds` bounds it; so does SIGTERM or SIGINT."""
    _started(app, " once", expire_due, duties).run_once(math.inf if seconds is None else seconds)


def _started(app: Flask, what: str, expire_due: Duty, duties: Sequence[Duty]) -> Delivery:
    """Raises one of OUTAGES where the database is away, and Unavailable where each turn would fail."""
    with app.app_context():
        if not schema.is_current():
            raise Unavailable("The database's schema is not current: run `flask db upgrade`.")
    name = f"{socket.gethostname()}:{os.getpid()}{what}"
    stop = Stop()
    stop.heed_signals(STOPS_WITHIN + 1)
    return Delivery(app, name, expire_due, duties, stop)


def _cause(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__
