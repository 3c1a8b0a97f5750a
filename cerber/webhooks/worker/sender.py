"""The threads of a worker: they sign and send claims, and never touch the database. The dispatcher says which."""

from __future__ import annotations

import queue
import time
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cerber.context import Clock
from cerber.errors import Unavailable
from cerber.merchants import keyring
from cerber.webhooks.client import Attempt, Client, Failure
from cerber.webhooks.timings import LONGEST_ATTEMPT
from cerber.webhooks.worker.delivery import Claim, Ready, Result
from cerber.webhooks.worker.dispatcher import Dispatcher
from cerber.webhooks.worker.surprises import Surprises


class Returned(Protocol):
    """Where that goes which comes back: results, and claims that were not sent after all."""

    results: list[Result]
    unsent: list[Claim]


class Sender:
    """Threads, their dispatcher, and the door out."""

    def __init__(self, threads: int, client: Client, clock: Clock, surprises: Surprises) -> None:
        self.in_flight = 0  # claims that have not come back yet, waiting ones too
        self._client = client
        self._clock = clock
        self._surprises = surprises
        self._dispatcher = Dispatcher(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="send")
        self._back: queue.SimpleQueue[Result | Claim] = queue.SimpleQueue()

    def room(self, ready: Iterable[Ready]) -> list[tuple[Ready, int]]:
        """How many more events may be claimed for each of these endpoints."""
        return self._dispatcher.room(ready, time.monotonic())

    def send(self, claims: Sequence[Claim]) -> None:
        self._dispatcher.put(claims)
        self.in_flight += len(claims)
        while (claim := self._dispatcher.next(time.monotonic())) is not None:
            self._pool.submit(self._work, claim)

    def collect(self, into: Returned, wait: float, most: int) -> None:
        """Takes what has come back, until there are so many results; waits so many seconds for the first. Takes back
        what waits where it should not."""
        self.take_back(into)
        try:
            self._take(into, self._back.get(timeout=wait) if wait else self._back.get_nowait())
            while len(into.results) < most:
                self._take(into, self._back.get_nowait())
        except queue.Empty:
            pass

    def take_back(self, into: Returned, held: Container[int] = ()) -> None:
        """What waits for an endpoint that is held or has fallen ill; all once closed."""
        claims = self._dispatcher.take_back(time.monotonic(), held)
        self.in_flight -= len(claims)
        into.unsent += claims

    def close(self) -> None:
        """No claim is begun any more; those under way go on."""
        self._dispatcher.close()

    def leave(self) -> None:
        """Waits for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _take(self, into: Returned, back: Result | Claim) -> None:
        self.in_flight -= 1
        if isinstance(back, Result):
            into.results.append(back)
        else:
            into.unsent.append(back)

    def _work(self, first: Claim) -> None:
        """In a thread: sends the claim, and then whatever the dispatcher has for it."""
        claim: Claim | None = first
        while claim is not None:
            self._back.put(self._sent(claim))
            claim = self._dispatcher.next(time.monotonic())

    def _sent(self, claim: Claim) -> Result | Claim:
        """One attempt; none where the lease might end before it does."""
        if self._clock() + LONGEST_ATTEMPT > claim.lease_ends:
            self._dispatcher.dropped(claim)
            return claim
        result = self._attempt(claim)
        self._dispatcher.answered(claim, time.monotonic(), well=result.well)
        return result

    def _attempt(self, claim: Claim) -> Result:
        headers: dict[str, str] = {}
        try:
            body = claim.body.encode()
            signed = keyring.webhook_headers(claim.keys, claim.kind.signed_with, claim.event_id, body, self._clock())
            headers = {"Content-Type": "application/json", **signed}
            attempt = self._client.post(claim.url, body, headers)
        except Unavailable as error:  # no secret to sign with
            attempt = _failed(Failure.own_side, error.message)
        except Exception as error:  # a thread that died with its claim would hold its place for good
            self._surprises.tell(f"Webhook {claim.event_id} could not be sent", error)
            attempt = _failed(Failure.own_side if _is_shortage(error) else Failure.unforeseen, type(error).__name__)
        return Result.of(claim, headers, attempt, self._clock())


def _failed(failure: Failure, detail: str) -> Attempt:
    """An attempt that failed by our own fault."""
    return Attempt(None, failure, detail, b"", None, 0.0)


def _is_shortage(error: Exception) -> bool:
    """Whether the machine had no more to give: it passes, and no event brings it about."""
    return isinstance(error, MemoryError) or str(error) == "can't start new thread"
