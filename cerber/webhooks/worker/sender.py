"""The threads of a worker: they send letters, and never touch the database. `lanes` says whose letter goes next."""

from __future__ import annotations

import queue
import time
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cerber.context import Clock
from cerber.webhooks.client import Attempt, Client, Failure
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.timings import LONGEST_ATTEMPT
from cerber.webhooks.worker.claims import Claim, Result
from cerber.webhooks.worker.dispatcher import Given, Lanes, Wish
from cerber.webhooks.worker.surprises import Surprises


@dataclass(frozen=True, slots=True)
class Letter:
    """A claim with the headers of this attempt, ready to go out."""

    claim: Claim
    headers: dict[str, str]


@dataclass(slots=True)
class Returned:
    """What came back from the threads: results to record, and claims that were not sent after all."""

    results: list[Result] = field(default_factory=list)
    unsent: list[Claim] = field(default_factory=list)


class Sender:
    """Threads, their lanes, and the door out."""

    def __init__(self, threads: int, client: Client, clock: Clock, surprises: Surprises) -> None:
        self.in_flight = 0  # letters that have not come back yet, waiting ones too
        self._egress = client
        self._clock = clock
        self._surprises = surprises
        self._lanes: Lanes[Letter] = Lanes(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="send")
        self._back: queue.SimpleQueue[Result | Claim] = queue.SimpleQueue()

    def shares(self, wishes: Iterable[Wish]) -> dict[int, int]:
        """How many more events may be claimed for each of these endpoints."""
        return self._lanes.shares(wishes, time.monotonic())

    def send(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._lanes.put(letter.claim.endpoint_id, letter)
        self.in_flight += len(letters)
        while (given := self._lanes.next(time.monotonic())) is not None:
            self._pool.submit(self._work, given)

    def collect(self, into: Returned, wait: float, most: int) -> None:
        """Takes what has come back, until there are so many results; waits so many seconds for the first."""
        try:
            self._take(into, self._back.get(timeout=wait) if wait else self._back.get_nowait())
            while len(into.results) < most:
                self._take(into, self._back.get_nowait())
        except queue.Empty:
            pass

    def take_back(self, held: Container[int] = ()) -> list[Claim]:
        """What waits where they should not: for an endpoint that is held or has become sick; all once closed."""
        claims = [letter.claim for letter in self._lanes.take_back(time.monotonic(), held)]
        self.in_flight -= len(claims)
        return claims

    def close(self) -> None:
        """No letter is begun any more; those under way go on."""
        self._lanes.close()

    def leave(self) -> None:
        """Waits for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._egress.close()

    def _take(self, into: Returned, back: Result | Claim) -> None:
        self.in_flight -= 1
        if isinstance(back, Result):
            into.results.append(back)
        else:
            into.unsent.append(back)

    def _work(self, first: Given[Letter]) -> None:
        """In a thread: sends the letter, and then whatever the lanes have for it."""
        given: Given[Letter] | None = first
        while given is not None:
            self._back.put(self._sent(given))
            given = self._lanes.next(time.monotonic())

    def _sent(self, given: Given[Letter]) -> Result | Claim:
        """One attempt; none where the lease might end before it does."""
        letter, claim = given.letter, given.letter.claim
        if self._clock() + LONGEST_ATTEMPT > claim.lease_ends:
            self._lanes.dropped(given)
            return claim
        done = result(claim, letter.headers, self._attempt(letter), self._clock())
        self._lanes.answered(given, time.monotonic(), well=done.well)
        return done

    def _attempt(self, letter: Letter) -> Attempt:
        try:
            return self._egress.post(letter.claim.url, letter.claim.body.encode(), letter.headers)
        except Exception as error:  # a thread that died with its letter would hold its place for good
            failure = Failure.own_side if _is_shortage(error) else Failure.unforeseen
            self._surprises.tell(f"Webhook {letter.claim.event_id} could not be sent", error)
            return failed(failure, type(error).__name__)


def failed(failure: Failure, detail: str) -> Attempt:
    """An attempt that failed by our own fault."""
    return Attempt(None, failure, detail, b"", None, 0.0)


def _is_shortage(error: Exception) -> bool:
    """Whether the machine had no more to give: it passes, and no event brings it about."""
    return isinstance(error, MemoryError) or str(error) == "can't start new thread"


def result(claim: Claim, headers: dict[str, str], attempt: Attempt, ended: datetime) -> Result:
    """What is recorded of an attempt that ended then. The signatures among its headers are not."""
    return Result(
        claim=claim,
        at=ended - timedelta(seconds=attempt.seconds),
        milliseconds=round(attempt.seconds * 1000),
        headers={name: value for name, value in headers.items() if "signature" not in name.lower()},
        outcome=Outcome(attempt.status, attempt.failure),
        detail=attempt.detail,
        answer=attempt.answer,
        retry_after=attempt.retry_after,
    )
