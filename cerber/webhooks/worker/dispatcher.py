"""Whose letter a thread of the worker takes next, so that one endpoint's trouble stays its own.

Each endpoint has a lane. A lane is *quick* while its last answer was good and fast, *sick* when it was slow or a
failure, or while one under way takes long, and *new* before the first. What holds of the threads:

- a quick lane has at most half of them, and grows by one with each answer; a new one has one, a sick one a few;
- all lanes of one owner (a merchant) that are not quick have a few together, however many endpoints it makes up;
- all sick lanes together have at most half of them, sick and new ones at most three quarters.

So a lone healthy merchant is fast, and whoever hangs, drips or refuses leaves threads to all others. Letters wait in
a lane only while it is quick; they are taken back when it falls sick. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

T = TypeVar("T")

FEW = 2
SLOW = 1.0
MOST_WAIT = 0.25  # how long a letter may wait in its lane
MOST_ROUNDS = 3  # of a lane's threads that may wait in it
REMEMBERED = 1024  # lanes without letters


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A letter given to a thread, and when."""

    endpoint: int
    letter: T
    at: float


class Health(Enum):
    NEW = "new"
    QUICK = "quick"
    SICK = "sick"


@dataclass(frozen=True, slots=True)
class Wish:
    """An endpoint with something to send, whose it is, and whether it is known to have failed lately."""

    endpoint: int
    owner: int
    failing: bool


@dataclass(slots=True)
class _Lane(Generic[T]):
    owner: int
    window: int  # how many may be under way
    health: Health = Health.NEW
    pace: float = MOST_WAIT  # seconds that an answer takes, lately
    waiting: deque[T] = field(default_factory=deque)
    started: list[float] = field(default_factory=list)  # of those under way

    @property
    def size(self) -> int:
        return len(self.started) + len(self.waiting)

    def state(self, at: float) -> Health:
        """Sick already while one takes long, before its answer is there."""
        return Health.SICK if self.started and at - self.started[0] > SLOW else self.health

    def capacity(self, at: float) -> int:
        """How many letters it may hold, under way and waiting."""
        rounds = min(MOST_WAIT / max(self.pace, 0.001), MOST_ROUNDS)
        return self.window + int(self.window * rounds) if self.state(at) is Health.QUICK else self.window


class Lanes(Generic[T]):
    """The lanes of one worker. Any thread may call it at any time."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._half = max(1, threads // 2)
        self._few = min(FEW, self._half)
        self._unsure = max(1, threads * 3 // 4)
        self._most = (MOST_ROUNDS + 1) * threads  # letters
        self._lock = threading.Lock()
        self._lanes: OrderedDict[int, _Lane[T]] = OrderedDict()  # the one served last at the end
        self._live: OrderedDict[int, _Lane[T]] = OrderedDict()  # those that hold letters, in the same order
        self._closed = False

    def shares(self, wishes: Iterable[Wish], at: float) -> dict[int, int]:
        """How many more letters may be claimed for each of these endpoints, those served longest ago first."""
        with self._lock:
            left = self._most - sum(lane.size for lane in self._live.values())
            held = self._unsure_letters(at)
            shares = {}
            for wish in self._longest_ago_first(wishes):
                lane = self._lanes.get(wish.endpoint) or _new_lane(wish)
                room = min(lane.capacity(at) - lane.size, left)
                if not _is_quick(lane, at):
                    room = min(room, self._unsure - held.total(), self._few - held[lane.owner])
                    held[lane.owner] += max(room, 0)
                if room > 0:
                    self._remember(wish.endpoint, lane)
                    shares[wish.endpoint] = room
                    left -= room
            return shares

    def put(self, endpoint: int, letter: T) -> None:
        """Of an endpoint that had a share."""
        with self._lock:
            lane = self._live[endpoint] = self._lanes[endpoint]
            lane.waiting.append(letter)

    def next(self, at: float) -> Given[T] | None:
        """A letter to send now, of the lane served longest ago that may have a thread."""
        with self._lock:
            return self._next(at)

    def answered(self, given: Given[T], at: float, *, well: bool) -> None:
        """How an attempt went. `well`: the endpoint answered, and its answer speaks of no trouble of its own."""
        with self._lock:
            lane = self._finished(given)
            seconds = at - given.at
            lane.pace += (seconds - lane.pace) / 4
            if well and seconds <= SLOW:
                lane.health, lane.window = Health.QUICK, min(lane.window + 1, self._half)
            else:
                lane.health, lane.window = Health.SICK, self._few

    def dropped(self, given: Given[T]) -> None:
        """A letter that was given out was not sent after all."""
        with self._lock:
            self._finished(given)

    def take_back(self, at: float, held: Container[int] = ()) -> list[T]:
        """The letters that wait where they should not: too many in a lane that has become sick, any for an endpoint
        that is held, and all once closed."""
        taken: list[T] = []
        with self._lock:
            for endpoint, lane in list(self._live.items()):
                none = self._closed or endpoint in held
                keep = 0 if none else max(lane.capacity(at) - len(lane.started), 0)
                while len(lane.waiting) > keep:
                    taken.append(lane.waiting.pop())
                self._rest(endpoint, lane)
        return taken

    def close(self) -> None:
        """No letter is given out any more."""
        with self._lock:
            self._closed = True

    def _next(self, at: float) -> Given[T] | None:
        busy = self._busy(at)
        if self._closed or busy.total() >= self._threads:
            return None
        for endpoint, lane in self._live.items():
            if lane.waiting and len(lane.started) < lane.window and self._may(lane, busy, at):
                lane.started.append(at)
                self._live.move_to_end(endpoint)
                self._lanes.move_to_end(endpoint)
                return Given(endpoint, lane.waiting.popleft(), at)
        return None

    def _busy(self, at: float) -> Counter[Health]:
        """How many threads the lanes of each health have."""
        busy: Counter[Health] = Counter()
        for lane in self._live.values():
            busy[lane.state(at)] += len(lane.started)
        return busy

    def _may(self, lane: _Lane[T], busy: Counter[Health], at: float) -> bool:
        """Whether this lane may have one more thread."""
        health = lane.state(at)
        if health is Health.QUICK:
            return True
        if busy[Health.SICK] + busy[Health.NEW] >= self._unsure:
            return False
        if health is Health.SICK and busy[Health.SICK] >= self._half:
            return False
        return self._started_unsure(lane.owner, at) < self._few

    def _started_unsure(self, owner: int, at: float) -> int:
        of_owner = (lane for lane in self._live.values() if lane.owner == owner)
        return sum(len(lane.started) for lane in of_owner if not _is_quick(lane, at))

    def _unsure_letters(self, at: float) -> Counter[int]:
        """How many letters each owner has in lanes that are not quick."""
        held: Counter[int] = Counter()
        for lane in self._live.values():
            if not _is_quick(lane, at):
                held[lane.owner] += lane.size
        return held

    def _finished(self, given: Given[T]) -> _Lane[T]:
        lane = self._lanes[given.endpoint]
        lane.started.remove(given.at)
        self._rest(given.endpoint, lane)
        return lane

    def _rest(self, endpoint: int, lane: _Lane[T]) -> None:
        if not lane.size:
            self._live.pop(endpoint, None)

    def _longest_ago_first(self, wishes: Iterable[Wish]) -> list[Wish]:
        asked = {wish.endpoint: wish for wish in wishes}
        if len(asked) < 2:
            return list(asked.values())
        known = [asked[endpoint] for endpoint in self._lanes if endpoint in asked]
        return [*(wish for endpoint, wish in asked.items() if endpoint not in self._lanes), *known]

    def _remember(self, endpoint: int, lane: _Lane[T]) -> None:
        """As the one served last, so that it is not the next to forget: it had a share, and holds no letter yet."""
        self._lanes[endpoint] = lane
        self._lanes.move_to_end(endpoint)
        if len(self._lanes) > REMEMBERED + self._most:
            idle = next(known for known in self._lanes if known not in self._live)
            del self._lanes[idle]


def _new_lane(wish: Wish) -> _Lane[Any]:
    """One that others saw failing does not begin as new."""
    return _Lane(wish.owner, 1, Health.SICK if wish.failing else Health.NEW)


def _is_quick(lane: _Lane[T], at: float) -> bool:
    return lane.state(at) is Health.QUICK
