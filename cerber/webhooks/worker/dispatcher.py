"""Which claim goes out next: one on the endpoint served longest ago of those that may have a thread.

`bulkheads` has the rules. Claims wait here only for endpoints that are well; those of one that falls ill are taken
back. There is no clock and no thread: times are given, in seconds of a monotonic clock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence

from cerber.webhooks.worker.bulkheads import Bulkheads, Endpoint, Health, Held
from cerber.webhooks.worker.delivery import Claim, Ready

REMEMBERED = 1024  # endpoints without claims


class Dispatcher:
    """Of one worker. Any thread may call it at any time."""

    def __init__(self, threads: int) -> None:
        self._bulkheads = Bulkheads(threads)
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Endpoint] = OrderedDict()  # the one served last at the end
        self._live: OrderedDict[int, Endpoint] = OrderedDict()  # those that hold claims, in the same order
        self._closed = False

    def room(self, ready: Iterable[Ready], at: float) -> list[tuple[Ready, int]]:
        """How many more claims there is room for on each of these endpoints, the one served longest ago first."""
        with self._lock:
            held, found = Held(), []
            for endpoint in self._live.values():
                held.add(endpoint, endpoint.size, at)
            for one in self._longest_ago_first(ready):
                endpoint = self._known.get(one.endpoint_id) or _new(one)
                room = self._bulkheads.room(endpoint, held, at)
                if room > 0:
                    self._remember(one.endpoint_id, endpoint)
                    held.add(endpoint, room, at)
                    found.append((one, room))
            return found

    def put(self, claims: Iterable[Claim]) -> None:
        """On endpoints that there was room for."""
        with self._lock:
            for claim in claims:
                endpoint = self._live[claim.endpoint_id] = self._known[claim.endpoint_id]
                endpoint.waiting.append(claim)

    def next(self, at: float) -> Claim | None:
        """The claim to send now, if there is a thread for one."""
        with self._lock:
            held = Held()
            for endpoint in self._live.values():
                held.add(endpoint, len(endpoint.started), at)
            if self._closed or held.all.total() >= self._bulkheads.threads:
                return None
            for key, endpoint in self._live.items():
                if endpoint.waiting and self._bulkheads.may_start(endpoint, held, at):
                    self._live.move_to_end(key)
                    self._known.move_to_end(key)
                    claim = endpoint.waiting.popleft()
                    endpoint.started[claim.id] = at
                    return claim
            return None

    def answered(self, claim: Claim, at: float, *, well: bool) -> None:
        """How an attempt went. `well`: the endpoint answered, and its answer speaks of no trouble of its own."""
        with self._lock:
            self._known[claim.endpoint_id].answered(claim, at, well=well)
            self._finish(claim)

    def dropped(self, claim: Claim) -> None:
        """A claim that was given out was not sent after all."""
        with self._lock:
            self._finish(claim)

    def take_back(self, at: float, held: Container[int] = ()) -> list[Claim]:
        """The claims that wait where they should not: too many for an endpoint that has fallen ill, any for one that
        is held, and all once closed."""
        taken: list[Claim] = []
        with self._lock:
            for key, endpoint in list(self._live.items()):
                none = self._closed or key in held
                keep = 0 if none else max(self._bulkheads.capacity(endpoint, at) - len(endpoint.started), 0)
                while len(endpoint.waiting) > keep:
                    taken.append(endpoint.waiting.pop())
                self._rest(key)
        return taken

    def close(self) -> None:
        """No claim is given out any more."""
        with self._lock:
            self._closed = True

    def _finish(self, claim: Claim) -> None:
        del self._known[claim.endpoint_id].started[claim.id]
        self._rest(claim.endpoint_id)

    def _rest(self, key: int) -> None:
        if not self._known[key].size:
            self._live.pop(key, None)

    def _longest_ago_first(self, ready: Iterable[Ready]) -> Sequence[Ready]:
        asked = {one.endpoint_id: one for one in ready}
        if len(asked) < 2:
            return list(asked.values())
        known = [asked[key] for key in self._known if key in asked]
        return [*(one for key, one in asked.items() if key not in self._known), *known]

    def _remember(self, key: int, endpoint: Endpoint) -> None:
        """As the one served last, so that it is not the next to forget: it has room, and holds no claim yet."""
        self._known[key] = endpoint
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED + self._bulkheads.claims:
            idle = next(known for known in self._known if known not in self._live)
            del self._known[idle]


def _new(one: Ready) -> Endpoint:
    """One that others saw failing does not begin as new."""
    return Endpoint(one.merchant_id, Health.ILL if one.failing else Health.NEW)
