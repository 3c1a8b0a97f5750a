"""The delivery worker: claim (commit), send with no transaction open, record (commit).

One APScheduler job polls, in the scheduler's own thread. While there is work it stays and looks again as soon as
something finishes, else it returns and waits for its next turn. Sending happens in threads that never touch the
database; `lanes` says whose letter goes next.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask

from cerber.context import now, settings
from cerber.database import OUTAGES, reading
from cerber.egress import Attempt, Egress, Failure
from cerber.errors import Unavailable
from cerber.lanes import Given, Lanes
from cerber.services import claims, figures, keyring, payments, workers
from cerber.services.agenda import Agenda, Due
from cerber.services.claims import Claim, Outcome, Ready

LOOK_AGAIN = 0.03  # seconds
STAY = 1.0
HEARTBEAT = 30.0
CLOCK_WATCH = 5.0
STOPS_WITHIN = 19.0
LONGEST_ATTEMPT = timedelta(seconds=16)
RECORDED_AT_ONCE = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A claim with the headers of this attempt, ready to go out."""

    claim: Claim
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Unsent:
    """A letter that must not go out any more: its lease is nearly over."""

    claim: Claim


class Delivery:
    """What one worker holds: its door out, its threads and lanes, and what comes back from them."""

    def __init__(self, app: Flask, name: str) -> None:
        self._app = app
        with app.app_context():
            threads = settings().delivery_threads
            self._egress = Egress(settings().allow_private_callbacks, settings().egress_proxy)
            self._worker = workers.start(name)
        self._lanes: Lanes[Letter] = Lanes(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="send")
        self._agenda = Agenda()
        self._finished: queue.SimpleQueue[Outcome | Unsent] = queue.SimpleQueue()
        self._unrecorded: list[Outcome] = []
        self._unsent: list[Claim] = []
        self._held: set[int] = set()
        self._uncounted = figures.Uncounted()
        self._in_flight = 0
        self._busy = False  # whether the last turn claimed anything
        self._next_look = 0.0
        self._next_beat = 0.0
        self.stopping = threading.Event()

    def poll(self) -> None:
        """One turn. Where there is work it goes on until nothing has come for a second, so that a busy queue is
        looked at often; an idle one costs one look. A database that is away ends the turn."""
        try:
            last_work = time.monotonic() if self.step(wait=0) else None
            while not self.stopping.is_set() and last_work is not None:
                worked = self.step(wait=LOOK_AGAIN) or self._in_flight
                quiet = time.monotonic() - last_work
                last_work = time.monotonic() if worked else (last_work if quiet < STAY else None)
        except OUTAGES as error:
            log.warning("The database did not answer, and is asked again: %s", type(error).__name__)

    def step(self, wait: float) -> bool:
        """Records what finished within `wait` seconds, expires, claims and sends. Whether it did anything."""
        self._collect(wait)
        with self._app.app_context():
            self._beat()
            due = self._look()
            expired = payments.expire_due() if due.expiry else 0
            turned = self._turn(claims.ready() if due.event or expired else [])
            self._uncounted.hand_in()
        return bool(expired or turned)

    def run_once(self, seconds: float | None) -> None:
        """Sends what is due, until nothing is or the time is over; then waits for what is in flight."""
        ends = time.monotonic() + seconds if seconds is not None else float("inf")
        while not self.stopping.is_set() and time.monotonic() < ends:
            if not self.step(wait=LOOK_AGAIN) and not self._in_flight:
                break
        self.finish()

    def finish(self) -> None:
        """Waits for what is in flight, records it, and gives back the rest. What can't be recorded within 20 s, the
        database being away, comes free with its lease."""
        ends = time.monotonic() + STOPS_WITHIN
        self._lanes.close()
        while time.monotonic() < ends:
            self._collect(LOOK_AGAIN)
            try:
                with self._app.app_context():
                    self._turn([])
            except OUTAGES:
                time.sleep(LOOK_AGAIN)
            if not (self._in_flight or self._unrecorded or self._unsent):
                break
        if not self._unrecorded:  # else the database is away
            with self._app.app_context():
                self._uncounted.hand_in(at_once=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._agenda.close()
        self._egress.close()

    def mend_clock(self) -> None:
        """The clock was set back: the next step mends what it had put off."""
        self._next_beat = 0.0

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            workers.beat(self._worker)
            workers.tidy()
            self._next_beat = time.monotonic() + HEARTBEAT

    def _look(self) -> Due:
        """What is due. While there is plenty to send it is not asked each time."""
        if self._busy and time.monotonic() < self._next_look:
            return Due(event=True, expiry=False)
        self._next_look = time.monotonic() + STAY
        return self._agenda.look()

    def _collect(self, wait: float) -> None:
        """Takes what has come back from the threads; waits so many seconds for the first."""
        try:
            self._take(self._finished.get(timeout=wait) if wait else self._finished.get_nowait())
            while len(self._unrecorded) < RECORDED_AT_ONCE:
                self._take(self._finished.get_nowait())
        except queue.Empty:
            pass

    def _take(self, result: Outcome | Unsent) -> None:
        self._in_flight -= 1
        if isinstance(result, Unsent):
            self._unsent.append(result.claim)
        else:
            self._unrecorded.append(result)

    def _turn(self, ready: list[Ready]) -> bool:
        """One transaction with the outbox, if there is a reason for it; then sends what it claimed."""
        for letter in self._lanes.take_back(time.monotonic(), self._held):
            self._in_flight -= 1
            self._unsent.append(letter.claim)
        shares = self._lanes.shares((one.endpoint_id for one in ready), time.monotonic())
        self._busy = False
        if not (self._unrecorded or self._unsent or shares):
            return False
        failing = [one for one in ready if one.failing and one.endpoint_id in shares]
        turn = claims.turn(self._unrecorded, self._unsent, shares, failing)
        self._uncounted.note(self._unrecorded)
        self._unrecorded, self._unsent, self._held = [], [], turn.held
        self._busy = bool(turn.claims)
        self._send(turn.claims, {one.endpoint_id: one for one in ready})
        return True

    def _send(self, claimed: list[Claim], ready: dict[int, Ready]) -> None:
        """Signs each with the secrets that are valid now, and puts it in its lane."""
        with reading() as session:
            for claim in claimed:
                kind = "balance" if claim.kind == "balance" else "payment"
                signer, body = ready[claim.endpoint_id].signer, claim.body.encode()
                try:
                    signed = keyring.webhook_headers(session, signer, kind, claim.event_id, body)
                except Unavailable as error:
                    self._unrecorded.append(_outcome(claim, {}, _own_side(error.message)))
                    continue
                self._in_flight += 1
                self._lanes.put(claim.endpoint_id, Letter(claim, {"Content-Type": "application/json", **signed}))
        while (given := self._lanes.next(time.monotonic())) is not None:
            self._pool.submit(self._work, given)

    def _work(self, first: Given[Letter]) -> None:
        """In a thread: sends the letter, and then whatever the lanes have for it."""
        given: Given[Letter] | None = first
        while given is not None:
            self._finished.put(self._sent(given))
            given = self._lanes.next(time.monotonic())

    def _sent(self, given: Given[Letter]) -> Outcome | Unsent:
        letter, claim = given.letter, given.letter.claim
        if now() + LONGEST_ATTEMPT > claim.lease_ends:
            self._lanes.dropped(given)
            return Unsent(claim)
        outcome = _outcome(claim, letter.headers, self._attempt(letter))
        self._lanes.answered(given, time.monotonic(), well=outcome.well)
        return outcome

    def _attempt(self, letter: Letter) -> Attempt:
        """Never raises: a thread that dies with its letter would hold its place for good."""
        try:
            return self._egress.post(letter.claim.url, letter.claim.body.encode(), letter.headers)
        except (ValueError, RuntimeError, MemoryError) as error:
            log.exception("Webhook %s could not be sent", letter.claim.event_id)
            return _own_side(type(error).__name__)


def run(app: Flask) -> None:
    """`flask deliver`: until SIGTERM or SIGINT; then finishes what is in flight."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    delivery = Delivery(app, f"{socket.gethostname()}:{os.getpid()}")
    with app.app_context():
        interval = settings().poll_interval
    defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone="UTC", executors={"default": DebugExecutor()}, job_defaults=defaults)
    job = scheduler.add_job(delivery.poll, "interval", seconds=interval, next_run_time=now())
    scheduler.start()
    _watch_clock(stop, delivery, job)
    delivery.stopping.set()
    scheduler.shutdown(wait=True)
    delivery.finish()


def run_once(app: Flask, seconds: float | None) -> None:
    """`flask deliver --once`: sends what is due, then returns. `seconds` bounds it."""
    Delivery(app, f"{socket.gethostname()}:{os.getpid()} once").run_once(seconds)


def _watch_clock(stop: threading.Event, delivery: Delivery, job: Job) -> None:
    """Until it is to stop. The scheduler goes by the wall clock: set back by an hour, it would sleep for an hour."""
    ahead = time.time() - time.monotonic()
    while not stop.wait(CLOCK_WATCH):
        before, ahead = ahead, time.time() - time.monotonic()
        if ahead < before - 1:
            delivery.mend_clock()
            job.modify(next_run_time=now())


def _own_side(detail: str) -> Attempt:
    return Attempt(None, Failure.own_side, detail, b"", None, 0.0)


def _outcome(claim: Claim, headers: dict[str, str], attempt: Attempt) -> Outcome:
    return Outcome(
        claim=claim,
        at=now() - timedelta(seconds=attempt.seconds),
        milliseconds=round(attempt.seconds * 1000),
        headers={name: value for name, value in headers.items() if "ignature" not in name},
        status=attempt.status,
        failure=attempt.failure.value if attempt.failure else None,
        ours=attempt.failure is not None and attempt.failure.ours,
        detail=attempt.detail,
        answer=attempt.answer,
        retry_after=attempt.retry_after,
    )
