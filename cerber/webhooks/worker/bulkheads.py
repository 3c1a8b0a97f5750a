"""How much of a worker one endpoint may hold, so that one endpoint's trouble stays its own. Pure rules.

The threads are parted by bulkheads, which stand still and are looked at anew whenever a thread comes free:

- An endpoint that is well has half of the threads at most. It is well while its last answer was good and quick, and
  nothing on its way to it takes long.
- All other endpoints of one owner (a merchant) have a few together: those that fail or are slow, and the new ones,
  which have one each until their first answer.
- All endpoints of one owner have at most half of the threads that no other owner has, and always one, however well
  they look.
- All that fail or are slow have half at most, with the new ones three quarters: who is well finds a thread.

What holds of threads holds of the claims that one worker keeps at once, too. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

from cerber.webhooks.worker.delivery import Claim

FEW = 2
SLOW = 1.0
MOST_WAIT = 0.25  # how long a claim may wait for a thread
AHEAD = 3  # claims that may wait for each thread of an endpoint that is well


class Health(Enum):
    NEW = "new"
    WELL = "well"
    ILL = "ill"


@dataclass(slots=True)
class Endpoint:
    """What one worker knows of an endpoint, and its claims."""

    owner: int
    health: Health
    took: float = MOST_WAIT  # to its last answer
    waiting: deque[Claim] = field(default_factory=deque)
    started: dict[int, float] = field(default_factory=dict)  # when those under way were, the first of them first

    @property
    def size(self) -> int:
        return len(self.started) + len(self.waiting)

    def state(self, at: float) -> Health:
        """Ill already while one takes long, before its answer is there."""
        longest = next(iter(self.started.values()), at)
        return Health.ILL if at - longest > SLOW else self.health

    def answered(self, claim: Claim, at: float, *, well: bool) -> None:
        self.took = at - self.started[claim.id]
        self.health = Health.WELL if well and self.took <= SLOW else Health.ILL


@dataclass(slots=True)
class Held:
    """How many threads (or claims) are held by each owner, and how many of them by endpoints that are not well."""

    all: Counter[int] = field(default_factory=Counter)
    unwell: Counter[int] = field(default_factory=Counter)
    ill: int = 0

    def add(self, endpoint: Endpoint, count: int, at: float) -> None:
        state = endpoint.state(at)
        self.all[endpoint.owner] += count
        if state is not Health.WELL:
            self.unwell[endpoint.owner] += count
        if state is Health.ILL:
            self.ill += count


class Bulkheads:
    """Those of a worker with so many threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.claims = (AHEAD + 1) * threads
        self._half = max(1, threads // 2)
        self._few = min(max(FEW, threads // 8), self._half)
        self._unwell = max(1, threads * 3 // 4)

    def capacity(self, endpoint: Endpoint, at: float) -> int:
        """How many claims it may have, under way and waiting: these only while it is well."""
        match endpoint.state(at):
            case Health.WELL:
                return self._half * (1 + min(AHEAD, int(MOST_WAIT / max(endpoint.took, 0.001))))
            case Health.NEW:
                return 1
            case Health.ILL:
                return self._few

    def room(self, endpoint: Endpoint, held: Held, at: float) -> int:
        """How many more claims it may have."""
        room = min(self.capacity(endpoint, at) - endpoint.size, _left_for(endpoint.owner, held, self.claims))
        room = min(room, self.claims - held.all.total())
        if endpoint.state(at) is not Health.WELL:
            room = min(room, self._unwell - held.unwell.total(), self._few - held.unwell[endpoint.owner])
        return room

    def may_start(self, endpoint: Endpoint, held: Held, at: float) -> bool:
        """Whether it may have one more thread."""
        state, owner = endpoint.state(at), endpoint.owner
        if _left_for(owner, held, self.threads) <= 0:
            return False
        if state is Health.WELL:
            return len(endpoint.started) < self._half
        if held.unwell.total() >= self._unwell or held.unwell[owner] >= self._few:
            return False
        return not endpoint.started if state is Health.NEW else held.ill < self._half


def _left_for(owner: int, held: Held, of: int) -> int:
    """How many more the owner may have: half of what no other has, and always one."""
    others = held.all.total() - held.all[owner]
    return max(1, (of - others) // 2) - held.all[owner]
