"""The delivery worker: claim (commit), send with no transaction open, record (commit).

One APScheduler job polls. While there is work it stays and looks again as soon as something finishes, else it
returns and waits for its next turn. Sending happens in threads that never touch the database.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from sqlalchemy import select

from cerber.context import now, settings
from cerber.database import OUTAGES, reading
from cerber.egress import Attempt, Egress, Failure
from cerber.errors import Unavailable
from cerber.models import Merchant
from cerber.services import keyring, outbox, payments, workers
from cerber.services.keyring import Signer
from cerber.services.outbox import Claim, Outcome

LOOK_AGAIN = 0.03
STAY = 1.0
HEARTBEAT = 30
QUICK = 250  # milliseconds
LONGEST_ATTEMPT = timedelta(seconds=16)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A claim with the headers of this attempt, ready to go out."""

    claim: Claim
    headers: dict[str, str]


class Delivery:
    """What one worker holds: its door out, its threads, and what comes back from them."""

    def __init__(self, app: Flask) -> None:
        with app.app_context():
            self._threads = settings().delivery_threads
            self._egress = Egress(settings().allow_private_callbacks)
        self._app = app
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="send")
        self._finished: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._ahead = 0  # how many letters may wait for a thread
        self._in_flight = 0
        self._unrecorded: list[Outcome] = []
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
            log.warning("The database did not answer, and is asked again: %s", error)

    def step(self, wait: float) -> bool:
        """Records what finished within `wait` seconds, expires, claims and sends. Whether it did anything."""
        with self._app.app_context():
            recorded = self._record(wait)
            agenda, at = outbox.agenda(), now()
            expired = payments.expire_due() if _is_past(agenda.expiry, at) else 0
            claimed = self._claim() if expired or _is_past(agenda.event, at) else 0
        return bool(recorded or expired or claimed)

    def run_once(self, seconds: float | None) -> None:
        """Sends what is due, until nothing is or the time is over; then waits for what is in flight."""
        ends = time.monotonic() + seconds if seconds is not None else float("inf")
        while not self.stopping.is_set() and time.monotonic() < ends:
            if not self.step(wait=LOOK_AGAIN) and not self._in_flight:
                break
        self.finish()

    def finish(self) -> None:
        """Waits for what is in flight and records it."""
        self._pool.shutdown(wait=True)
        with self._app.app_context():
            while self._in_flight or self._unrecorded:
                self._record(LOOK_AGAIN)
        self._egress.close()

    def _record(self, wait: float) -> int:
        """Writes down what has finished. Kept for the next time where the database is away."""
        self._unrecorded += self._arrived(wait)
        if self._unrecorded:
            outbox.record(self._unrecorded)
        count, self._unrecorded = len(self._unrecorded), []
        return count

    def _arrived(self, wait: float) -> list[Outcome]:
        """What has come back from the threads; waits so many seconds for the first."""
        outcomes: list[Outcome | None] = []
        try:
            outcomes.append(self._finished.get(timeout=wait) if wait else self._finished.get_nowait())
            while len(outcomes) < 4 * self._threads:
                outcomes.append(self._finished.get_nowait())
        except queue.Empty:
            pass
        self._in_flight -= len(outcomes)
        sent = [outcome for outcome in outcomes if outcome is not None]
        if outcomes:  # letters wait in line only while everybody is quick: nothing waits behind a slow shop
            quick = len(sent) == len(outcomes) and all(outcome.milliseconds <= QUICK for outcome in sent)
            self._ahead = self._threads if quick else 0
        return sent

    def _claim(self) -> int:
        room = self._threads + self._ahead - self._in_flight
        letters = _letters(outbox.claim(room)) if room > 0 else []
        for letter in letters:
            self._in_flight += 1
            self._pool.submit(self._send, letter)
        return len(letters)

    def _send(self, letter: Letter) -> None:
        """One attempt, in a thread; none where the lease might end before it does."""
        claim, at = letter.claim, now()
        if at + LONGEST_ATTEMPT > claim.lease_ends:
            self._finished.put(None)
            return
        attempt = self._attempt(letter)
        outcome = Outcome(
            claim=claim,
            at=at,
            milliseconds=round(attempt.seconds * 1000),
            status=attempt.status,
            failure=attempt.failure.value if attempt.failure else None,
            detail=attempt.detail,
            answer=attempt.answer,
            retry_after=attempt.retry_after,
        )
        self._finished.put(outcome)

    def _attempt(self, letter: Letter) -> Attempt:
        """Never raises: a thread that dies with its letter would hold its place for good."""
        try:
            return self._egress.post(letter.claim.url, letter.claim.body.encode(), letter.headers)
        except (ValueError, RuntimeError, MemoryError) as error:
            log.exception("Webhook %s could not be sent", letter.claim.event_id)
            return Attempt(None, Failure.own_side, type(error).__name__, b"", None, 0.0)


def run(app: Flask) -> None:
    """`flask deliver`: until SIGTERM or SIGINT; then finishes what is in flight."""
    delivery, stop = Delivery(app), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with app.app_context():
        interval = settings().poll_interval
        worker = workers.start(f"{socket.gethostname()}:{os.getpid()}")
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a turn that stays busy is no misfire
    scheduler = BackgroundScheduler(timezone="UTC", job_defaults={"max_instances": 1, "coalesce": True})
    scheduler.add_job(delivery.poll, "interval", seconds=interval, next_run_time=now())
    scheduler.add_job(_in_context(app, lambda: workers.beat(worker)), "interval", seconds=HEARTBEAT)
    scheduler.start()
    stop.wait()
    delivery.stopping.set()
    scheduler.shutdown(wait=True)
    delivery.finish()


def run_once(app: Flask, seconds: float | None) -> None:
    """`flask deliver --once`: sends what is due, then returns. `seconds` bounds it."""
    with app.app_context():
        workers.start(f"{socket.gethostname()}:{os.getpid()} once")
    Delivery(app).run_once(seconds)


def _letters(claims: list[Claim]) -> list[Letter]:
    """Signs each attempt with the secrets that are valid now."""
    columns = (Merchant.id, Merchant.version, Merchant.blocked_at)
    with reading() as session:
        wanted = {claim.merchant_id for claim in claims}
        rows = session.execute(select(*columns).where(Merchant.id.in_(wanted)))
        signers = {row.id: Signer(row.id, row.version, row.blocked_at is not None) for row in rows}
        letters = []
        for claim in claims:
            kind = "balance" if claim.kind == "balance" else "payment"
            body = claim.body.encode()
            try:
                headers = keyring.webhook_headers(session, signers[claim.merchant_id], kind, claim.event_id, body)
            except Unavailable as error:  # held by its lease, and claimed again after it
                log.error("Webhook %s is not sent: %s", claim.event_id, error.message)
                continue
            letters.append(Letter(claim, {"Content-Type": "application/json", **headers}))
    return letters


def _in_context(app: Flask, job: Callable[[], None]) -> Callable[[], None]:
    def run_job() -> None:
        with app.app_context():
            try:
                job()
            except OUTAGES as error:
                log.warning("The database did not answer: %s", error)

    return run_job


def _is_past(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and moment <= at
