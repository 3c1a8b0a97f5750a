"""The delivery worker: claim (commit), send with no transaction open, record (commit).

One APScheduler job polls, in the scheduler's own thread. While there is work it stays and looks again as soon as
something comes back from `sending`, else it returns and waits for its next turn.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from cerber.context import Clock, clock, now, settings
from cerber.db import schema
from cerber.db.transactions import OUTAGES
from cerber.errors import Unavailable
from cerber.merchants import keyring
from cerber.merchants.keyring import Signer
from cerber.webhooks.client import Client, Failure
from cerber.webhooks.timings import HEARTBEAT, STOPS_WITHIN
from cerber.webhooks.worker import claimable, claims, counters, heartbeats
from cerber.webhooks.worker.agenda import Agenda, Due
from cerber.webhooks.worker.circuit_breaker import Breaker
from cerber.webhooks.worker.claimable import Ready
from cerber.webhooks.worker.claims import Claim, Turn
from cerber.webhooks.worker.dispatcher import Wish
from cerber.webhooks.worker.sender import Letter, Returned, Sender, failed, result
from cerber.webhooks.worker.surprises import Surprises

LOOK_AGAIN = 0.03  # seconds
STAY = 1.0
TIDY = 300.0
DUTIES = 5.0
CLOCK_WATCH = 5.0
RECORDED_AT_ONCE = 64

log = logging.getLogger(__name__)


class Delivery:
    """One worker: what it sends, what came back and is not recorded yet, and what it knows of the endpoints."""

    def __init__(
        self,
        app: Flask,
        name: str,
        expire_due: Callable[[], int],
        stopping: threading.Event | None = None,
        duties: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._app = app
        self._expire_due = expire_due
        self._stopping = stopping or threading.Event()
        with app.app_context():
            client = Client(settings().allow_private_callbacks, settings().egress_proxy)
            self._surprises = Surprises()
            self._sender = Sender(settings().delivery_threads, client, clock(), self._surprises)
            self._agenda = Agenda()
            self._worker = heartbeats.start(name)
        self._returned = Returned()
        self._failing: set[int] = set()  # endpoints known to have a breaker
        self._uncounted = counters.Uncounted()
        self._busy = False  # whether the last turn claimed anything
        self._away = False  # the database
        self._next_look = 0.0
        self._duties = duties
        self._next_beat = self._next_tidy = 0.0
        self._next_duties = 0.0 if duties else float("inf")

    def poll(self) -> None:
        """One turn. Where there is work it goes on until nothing has come for a second, so that a busy queue is
        looked at often; an idle one costs one look. A database that is away ends the turn."""
        try:
            last_work = time.monotonic() if self.step(wait=0) else None
            while not self._stopping.is_set() and last_work is not None:
                worked = self.step(wait=LOOK_AGAIN) or self._sender.in_flight
                quiet = time.monotonic() - last_work
                last_work = time.monotonic() if worked else (last_work if quiet < STAY else None)
        except OUTAGES as error:
            if not self._away:
                log.warning("The database does not answer, and is asked again each poll: %s", _cause(error))
            self._away = True
        else:
            if self._away:
                log.warning("The database answers again.")
            self._away = False

    def step(self, wait: float) -> bool:
        """Records what came back within `wait` seconds, claims, sends and expires. Whether it did anything."""
        self._sender.collect(self._returned, wait, RECORDED_AT_ONCE)
        due = self._look()
        if self._is_idle(due):
            return False
        with self._app.app_context():
            self._beat()
            turned = self._turn(claimable.endpoints() if due.event else [])
            expired = self._expire_due() if due.expiry else 0
            self._uncounted.hand_in()
        return bool(expired or turned)

    def run_once(self, seconds: float | None) -> None:
        """Sends what is due, until nothing is or the time is over; then waits for what is in flight."""
        ends = time.monotonic() + seconds if seconds is not None else float("inf")
        try:
            while not self._stopping.is_set() and time.monotonic() < ends:
                if not self.step(wait=LOOK_AGAIN) and not self._sender.in_flight:
                    break
        finally:
            self.finish()

    def close(self) -> None:
        """Nothing more is begun; what is in flight goes on."""
        self._stopping.set()
        self._sender.close()

    def finish(self) -> None:
        """Waits for what is in flight, records it, and gives back the rest. What can't be recorded within 20 s, the
        database being away, comes free with its lease."""
        ends = time.monotonic() + STOPS_WITHIN
        self._sender.close()
        while time.monotonic() < ends:
            self._sender.collect(self._returned, LOOK_AGAIN, RECORDED_AT_ONCE)
            try:
                with self._app.app_context():
                    self._turn([])
            except OUTAGES:
                time.sleep(LOOK_AGAIN)
            if not (self._sender.in_flight or self._returned.results or self._returned.unsent):
                break
        if not self._returned.results:  # else the database is away
            with self._app.app_context():
                self._uncounted.hand_in(at_once=True)
                heartbeats.goodbye(self._worker)
        self._agenda.close()
        self._sender.leave()

    def mend_clock(self) -> None:
        """The clock was set back: the next step mends what it had put off."""
        self._next_beat = self._next_tidy = 0.0

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            heartbeats.beat(self._worker)
            self._next_beat = time.monotonic() + HEARTBEAT
        if time.monotonic() >= self._next_tidy:
            self._next_tidy = time.monotonic() + (HEARTBEAT if heartbeats.tidy() else TIDY)
        if time.monotonic() >= self._next_duties:
            self._next_duties = time.monotonic() + DUTIES
            for duty in self._duties:
                duty()

    def _is_idle(self, due: Due) -> bool:
        """Whether there is nothing at all to do: an app context costs more than the look."""
        has_work = due.event or due.expiry or self._sender.in_flight or self._uncounted.waits
        back = self._returned.results or self._returned.unsent
        return not (has_work or back) and time.monotonic() < min(self._next_beat, self._next_tidy, self._next_duties)

    def _look(self) -> Due:
        """What is due. While there is plenty to send it is not asked each time."""
        if self._busy and time.monotonic() < self._next_look:
            return Due(event=True, expiry=False)
        self._next_look = time.monotonic() + STAY
        return self._agenda.look()

    def _turn(self, found: list[Ready]) -> bool:
        """One transaction with the outbox, if there is a reason for it; then sends what it claimed. Whether anything
        came of it: what is due may all wait for earlier events."""
        shares = self._sender.shares(Wish(one.endpoint_id, one.signer.id, one.failing) for one in found)
        self._returned.unsent += self._sender.take_back()
        reported = bool(self._returned.results or self._returned.unsent)
        self._busy = False
        if not (reported or shares):
            return False
        for one in found:
            self._know(one.endpoint_id, failing=one.failing)
        turn = self._recorded(shares, {one.endpoint_id for one in found if one.held})
        self._busy = bool(turn.claims)
        self._heed(turn.breakers)
        self._send(turn.claims, {one.endpoint_id: one.signer for one in found})
        return reported or self._busy

    def _recorded(self, shares: dict[int, int], held: set[int]) -> Turn:
        """What came back stays for the next turn where the database is away. What can't be recorded for any other
        reason is let go, and sent again after its lease: else it would stop all that comes after it."""
        back = self._returned
        try:
            turn = claims.turn(back.results, back.unsent, shares, held, self._failing)
        except OUTAGES:
            raise
        except SQLAlchemyError:
            self._returned = Returned()
            raise
        self._uncounted.note(back.results)
        self._returned = Returned()
        return turn

    def _heed(self, moved: dict[int, Breaker | None]) -> None:
        """Lets nothing wait any more for an endpoint that is held now."""
        for endpoint, breaker in moved.items():
            self._know(endpoint, failing=breaker is not None)
        held = [endpoint for endpoint, breaker in moved.items() if breaker and breaker.held_since]
        self._returned.unsent += self._sender.take_back(held)

    def _know(self, endpoint: int, *, failing: bool) -> None:
        (self._failing.add if failing else self._failing.discard)(endpoint)

    def _send(self, claimed: list[Claim], signers: dict[int, Signer]) -> None:
        """Signs each with the secrets that are valid now, and sends it."""
        try:
            self._sender.send(self._signed(claimed, signers))
        except OUTAGES:
            self._returned.unsent += claimed
            raise

    def _signed(self, claimed: list[Claim], signers: dict[int, Signer]) -> list[Letter]:
        letters, unsigned = [], []
        for claim in claimed:
            signer, body = signers[claim.endpoint_id], claim.body.encode()
            try:
                signed = keyring.webhook_headers(signer, claim.kind.signed_with, claim.event_id, body)
            except Unavailable as error:
                unsigned.append(result(claim, {}, failed(Failure.own_side, error.message), now()))
            except OUTAGES:
                raise
            except Exception as error:
                self._surprises.tell(f"Webhook {claim.event_id} could not be signed", error)
                unsigned.append(result(claim, {}, failed(Failure.unforeseen, type(error).__name__), now()))
            else:
                letters.append(Letter(claim, {"Content-Type": "application/json", **signed}))
        self._returned.results += unsigned
        return letters


class Signals:
    """SIGTERM and SIGINT, from now on: `stopping` is set by either.

    The main thread waits on a queue: a signal may come while it looks into that, which an Event does not allow.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def wait(self, seconds: float) -> bool:
        """Whether one came within so many seconds."""
        try:
            self._came.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _note(self, number: int, _: object) -> None:
        self.stopping.set()
        self._came.put(number)


def run(app: Flask, expire_due: Callable[[], int], duties: Sequence[Callable[[], object]] = ()) -> None:
    """`flask deliver`: until SIGTERM or SIGINT; then finishes what is in flight.

    `expire_due` is called when a payment is due to expire, `duties` every few seconds: both belong to rooms that this
    one doesn't know.
    """
    _check_schema(app)
    signals = Signals()
    delivery = Delivery(app, _name(), expire_due, signals.stopping, duties)
    with app.app_context():
        interval, present = settings().poll_interval, clock()
    defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone="UTC", executors={"default": DebugExecutor()}, job_defaults=defaults)
    job = scheduler.add_job(delivery.poll, "interval", seconds=interval, next_run_time=present())
    scheduler.start()
    _watch_clock(signals, delivery, job, present)
    delivery.close()
    # a thread that the database keeps waiting for longer is left behind
    end = threading.Thread(target=_end, args=(scheduler, delivery), daemon=True)
    end.start()
    end.join(STOPS_WITHIN)


def run_once(
    app: Flask, expire_due: Callable[[], int], seconds: float | None, duties: Sequence[Callable[[], object]] = ()
) -> None:
    """`flask deliver --once`: sends what is due, then returns. `seconds` bounds it; so does SIGTERM or SIGINT."""
    _check_schema(app)
    Delivery(app, f"{_name()} once", expire_due, Signals().stopping, duties).run_once(seconds)


def _check_schema(app: Flask) -> None:
    """Or each poll would fail. Raises one of OUTAGES where the database is away."""
    with app.app_context():
        if not schema.is_current():
            raise Unavailable("The database's schema is not current: run `flask db upgrade`.")


def _cause(error: Exception) -> str:
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _end(scheduler: BackgroundScheduler, delivery: Delivery) -> None:
    scheduler.shutdown(wait=True)
    delivery.finish()


def _watch_clock(signals: Signals, delivery: Delivery, job: Job, present: Clock) -> None:
    """Until it is to stop. The scheduler goes by the wall clock: set back by an hour, it would sleep for an hour."""
    ahead = time.time() - time.monotonic()
    while not signals.wait(CLOCK_WATCH):
        before, ahead = ahead, time.time() - time.monotonic()
        if ahead < before - 1:
            delivery.mend_clock()
            job.modify(next_run_time=present())  # waits for the end of a turn under way, which a signal brings about
