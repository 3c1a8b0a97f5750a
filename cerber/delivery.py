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
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from apscheduler.executors.debug import DebugExecutor
from apscheduler.job import Job
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from cerber.breaker import Breaker
from cerber.context import now, settings
from cerber.database import OUTAGES, reading
from cerber.egress import Attempt, Egress, Failure
from cerber.errors import Unavailable
from cerber.lanes import Given, Lanes
from cerber.services import claims, figures, keyring, payments, workers
from cerber.services.agenda import Agenda, Due
from cerber.services.claims import Claim, Outcome, Ready, Turn

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

    def __init__(self, app: Flask, name: str, stopping: threading.Event | None = None) -> None:
        self._app = app
        self._stopping = stopping or threading.Event()
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
        self._failing: set[int] = set()  # endpoints known to have a breaker
        self._uncounted = figures.Uncounted()
        self._in_flight = 0
        self._busy = False  # whether the last turn claimed anything
        self._away = False  # the database
        self._next_look = 0.0
        self._next_beat = 0.0

    def poll(self) -> None:
        """One turn. Where there is work it goes on until nothing has come for a second, so that a busy queue is
        looked at often; an idle one costs one look. A database that is away ends the turn."""
        try:
            last_work = time.monotonic() if self.step(wait=0) else None
            while not self._stopping.is_set() and last_work is not None:
                worked = self.step(wait=LOOK_AGAIN) or self._in_flight
                quiet = time.monotonic() - last_work
                last_work = time.monotonic() if worked else (last_work if quiet < STAY else None)
        except OUTAGES as error:
            if not self._away:
                log.warning("The database does not answer, and is asked again each poll: %s", type(error).__name__)
            self._away = True
        else:
            if self._away:
                log.warning("The database answers again.")
            self._away = False

    def step(self, wait: float) -> bool:
        """Records what finished within `wait` seconds, claims, sends and expires. Whether it did anything."""
        self._collect(wait)
        with self._app.app_context():
            self._beat()
            due = self._look()
            turned = self._turn(claims.ready() if due.event else [])
            expired = payments.expire_due() if due.expiry else 0
            self._uncounted.hand_in()
        return bool(expired or turned)

    def run_once(self, seconds: float | None) -> None:
        """Sends what is due, until nothing is or the time is over; then waits for what is in flight."""
        ends = time.monotonic() + seconds if seconds is not None else float("inf")
        while not self._stopping.is_set() and time.monotonic() < ends:
            if not self.step(wait=LOOK_AGAIN) and not self._in_flight:
                break
        self.finish()

    def close(self) -> None:
        """Nothing more is sent; what is in flight goes on."""
        self._stopping.set()
        self._lanes.close()

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
        shares = self._lanes.shares((one.endpoint_id for one in ready), time.monotonic())
        self._take_back(())
        self._busy = False
        if not (self._unrecorded or self._unsent or shares):
            return False
        held = {one.endpoint_id for one in ready if one.held}
        for one in ready:
            self._know(one.endpoint_id, failing=one.failing)
        turn = self._recorded(shares, held)
        self._busy = bool(turn.claims)
        self._heed(turn.breakers)
        self._send(turn.claims, {one.endpoint_id: one for one in ready})
        return True

    def _recorded(self, shares: dict[int, int], held: set[int]) -> Turn:
        """What finished stays for the next turn where the database is away. What can't be recorded for any other
        reason is let go, and sent again after its lease: else it would stop all that comes after it."""
        try:
            turn = claims.turn(self._unrecorded, self._unsent, shares, held, self._failing)
        except OUTAGES:
            raise
        except SQLAlchemyError:
            self._unrecorded, self._unsent = [], []
            raise
        self._uncounted.note(self._unrecorded)
        self._unrecorded, self._unsent = [], []
        return turn

    def _heed(self, moved: dict[int, Breaker | None]) -> None:
        """Lets nothing wait any more for an endpoint that is held now."""
        for endpoint, breaker in moved.items():
            self._know(endpoint, failing=breaker is not None)
        self._take_back([endpoint for endpoint, breaker in moved.items() if breaker and breaker.held_since])

    def _know(self, endpoint: int, *, failing: bool) -> None:
        (self._failing.add if failing else self._failing.discard)(endpoint)

    def _take_back(self, held: Container[int]) -> None:
        for letter in self._lanes.take_back(time.monotonic(), held):
            self._in_flight -= 1
            self._unsent.append(letter.claim)

    def _send(self, claimed: list[Claim], ready: dict[int, Ready]) -> None:
        """Signs each with the secrets that are valid now, and puts it in its lane."""
        try:
            letters = self._signed(claimed, ready)
        except OUTAGES:
            self._unsent += claimed
            raise
        for letter in letters:
            self._in_flight += 1
            self._lanes.put(letter.claim.endpoint_id, letter)
        while (given := self._lanes.next(time.monotonic())) is not None:
            self._pool.submit(self._work, given)

    def _signed(self, claimed: list[Claim], ready: dict[int, Ready]) -> list[Letter]:
        letters, failed = [], []
        with reading() as session:
            for claim in claimed:
                kind = "balance" if claim.kind == "balance" else "payment"
                signer, body = ready[claim.endpoint_id].signer, claim.body.encode()
                try:
                    signed = keyring.webhook_headers(session, signer, kind, claim.event_id, body)
                except Unavailable as error:
                    failed.append(_outcome(claim, {}, _own_side(error.message)))
                else:
                    letters.append(Letter(claim, {"Content-Type": "application/json", **signed}))
        self._unrecorded += failed
        return letters

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
    stopping = threading.Event()
    stops: queue.SimpleQueue[int] = queue.SimpleQueue()  # a signal may come while we look into it: it allows that

    def stop(number: int, _: object) -> None:
        stopping.set()
        stops.put(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    delivery = Delivery(app, f"{socket.gethostname()}:{os.getpid()}", stopping)
    with app.app_context():
        interval = settings().poll_interval
    defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone="UTC", executors={"default": DebugExecutor()}, job_defaults=defaults)
    job = scheduler.add_job(delivery.poll, "interval", seconds=interval, next_run_time=now())
    scheduler.start()
    _watch_clock(stops, delivery, job)
    delivery.close()
    # a thread that the database keeps waiting for longer is left behind
    end = threading.Thread(target=_end, args=(scheduler, delivery), daemon=True)
    end.start()
    end.join(STOPS_WITHIN)


def _end(scheduler: BackgroundScheduler, delivery: Delivery) -> None:
    scheduler.shutdown(wait=True)
    delivery.finish()


def run_once(app: Flask, seconds: float | None) -> None:
    """`flask deliver --once`: sends what is due, then returns. `seconds` bounds it."""
    Delivery(app, f"{socket.gethostname()}:{os.getpid()} once").run_once(seconds)


def _watch_clock(stops: queue.SimpleQueue[int], delivery: Delivery, job: Job) -> None:
    """Until it is to stop. The scheduler goes by the wall clock: set back by an hour, it would sleep for an hour."""
    ahead = time.time() - time.monotonic()
    while not _came(stops, CLOCK_WATCH):
        before, ahead = ahead, time.time() - time.monotonic()
        if ahead < before - 1:
            delivery.mend_clock()
            job.modify(next_run_time=now())  # waits for the end of a turn under way, which a signal brings about


def _came(stops: queue.SimpleQueue[int], seconds: float) -> bool:
    try:
        stops.get(timeout=seconds)
    except queue.Empty:
        return False
    return True


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
