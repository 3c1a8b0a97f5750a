"""What came back from a worker's threads and is not recorded yet, and what was counted of it."""

from __future__ import annotations

from collections.abc import Sequence

from cerber.webhooks.client.failures import Failure
from cerber.webhooks.outcomes import Outcome
from cerber.webhooks.worker import claims
from cerber.webhooks.worker.counters import Uncounted
from cerber.webhooks.worker.delivery import Claim, Ready, Result
from cerber.webhooks.worker.jobs import AWAY
from cerber.webhooks.worker.surprises import Surprises


class Recorder:
    """Of one worker. `unsent` are claims that were not sent after all."""

    def __init__(self, surprises: Surprises) -> None:
        self.results: list[Result] = []
        self.unsent: list[Claim] = []
        self.uncounted = Uncounted()
        self._surprises = surprises

    def __bool__(self) -> bool:
        """Whether anything is left to record."""
        return bool(self.results or self.unsent)

    def turn(self, wanted: Sequence[tuple[Ready, int]]) -> claims.Turn:
        """Records all, and claims what is wanted, in one transaction.

        What came back stays for the next turn where the database is away. What can't be recorded for another reason
        is recorded one by one: it must neither stop nor take along what came with it.
        """
        try:
            turn = claims.turn(self.results, self.unsent, wanted)
        except AWAY:
            raise
        except Exception:
            self._record_apart()
            raise
        self.uncounted.note(self.results)
        self.results, self.unsent = [], []
        return turn

    def _record_apart(self) -> None:
        """What can't be recorded by itself either has failed as nobody foresaw; or else it comes free with its
        lease, as do those that were not sent."""
        self.unsent = []
        while self.results:
            self._is_recorded(self.results[0]) or self._is_recorded(_unforeseen(self.results[0]))
            del self.results[0]

    def _is_recorded(self, result: Result) -> bool:
        try:
            claims.turn([result], [], [])
        except AWAY:
            raise
        except Exception as error:
            self._surprises.tell(f"The attempt of {result.claim.event_id} could not be recorded", error)
            return False
        self.uncounted.note([result])
        return True


def _unforeseen(result: Result) -> Result:
    """As little as can be told of an attempt."""
    outcome = Outcome(None, Failure.unforeseen)
    return Result(result.claim, result.at, result.milliseconds, {}, outcome, "it could not be recorded", b"", None)
