"""Which claim goes next, and how much of a worker one endpoint and one owner may hold: pure rules, the time given."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cerber.webhooks.worker.bulkheads import FEW
from cerber.webhooks.worker.delivery import Ready
from cerber.webhooks.worker.dispatcher import Dispatcher

THREADS = 16
_ids = itertools.count(1)


def ready(endpoint: int, owner: int | None = None, *, failing: bool = False) -> Ready:
    return Ready(endpoint, endpoint if owner is None else owner, (), failing, False)


def claim(endpoint: int) -> Any:
    """As far as one is read by a dispatcher."""
    return SimpleNamespace(id=next(_ids), endpoint_id=endpoint)


def room(dispatcher: Dispatcher, wanted: list[Ready], at: float) -> dict[int, int]:
    return {one.endpoint_id: count for one, count in dispatcher.room(wanted, at)}


def fill(dispatcher: Dispatcher, endpoint: int, at: float, *, owner: int | None = None, most: int = 100) -> list[Any]:
    """Claims as much as there is room for, and puts it in."""
    count = min(room(dispatcher, [ready(endpoint, owner)], at).get(endpoint, 0), most)
    claims = [claim(endpoint) for _ in range(count)]
    dispatcher.put(claims)
    return claims


def fill_all(dispatcher: Dispatcher, wanted: list[Ready], at: float) -> None:
    for endpoint, count in room(dispatcher, wanted, at).items():
        dispatcher.put(claim(endpoint) for _ in range(count))


def start(dispatcher: Dispatcher, at: float) -> list[Any]:
    started = []
    while (given := dispatcher.next(at)) is not None:
        started.append(given)
    return started


def warm(dispatcher: Dispatcher, endpoint: int, seconds: float = 0.01, *, owner: int | None = None) -> None:
    """A good answer that took so long."""
    fill(dispatcher, endpoint, 0, owner=owner)
    for given in start(dispatcher, 0):
        dispatcher.answered(given, seconds, well=True)


def test_a_new_endpoint_has_one_thread_until_its_first_good_answer_and_then_half() -> None:
    dispatcher = Dispatcher(THREADS)
    assert len(fill(dispatcher, 1, 0)) == 1
    (given,) = start(dispatcher, 0)
    assert fill(dispatcher, 1, 0) == []
    dispatcher.answered(given, 0.01, well=True)
    fill(dispatcher, 1, 1)
    assert len(start(dispatcher, 1)) == THREADS // 2


def test_an_endpoint_that_others_saw_failing_does_not_begin_as_new() -> None:
    dispatcher = Dispatcher(THREADS)
    fill_all(dispatcher, [ready(endpoint, failing=True) for endpoint in range(30)], 0)
    assert len(start(dispatcher, 0)) == THREADS // 2


def test_one_owner_has_a_few_threads_for_all_its_endpoints_that_are_not_well() -> None:
    dispatcher = Dispatcher(THREADS)
    for second in range(60):
        fill_all(dispatcher, [ready(endpoint, owner=7) for endpoint in range(100, 140)], second)
        start(dispatcher, second)
    assert room(dispatcher, [ready(200, owner=7)], 60) == {}
    assert len(fill(dispatcher, 1, 60)) == 1
    assert [given.endpoint_id for given in start(dispatcher, 60)] == [1]


@pytest.mark.parametrize(("threads", "few"), [(1, 1), (2, 1), (4, 2), (16, 2), (64, 8)])
def test_a_few_are_an_eighth_and_two_where_half_allows_it(threads: int, few: int) -> None:
    dispatcher = Dispatcher(threads)
    fill_all(dispatcher, [ready(endpoint, owner=7, failing=True) for endpoint in range(40)], 0)
    assert len(start(dispatcher, 0)) == few


def test_all_endpoints_of_one_owner_have_half_however_well_they_look() -> None:
    dispatcher = Dispatcher(THREADS)
    for endpoint in range(10):
        warm(dispatcher, endpoint, owner=7)
    fill_all(dispatcher, [ready(endpoint, owner=7) for endpoint in range(10)], 1)
    assert len(start(dispatcher, 1)) == THREADS // 2


def test_each_owner_has_half_of_what_no_other_has_and_always_one() -> None:
    dispatcher = Dispatcher(THREADS)
    owners = range(6)
    for owner, number in itertools.product(owners, range(10)):
        warm(dispatcher, 10 * owner + number, owner=owner)
    had = []
    for owner in owners:
        fill_all(dispatcher, [ready(10 * owner + number, owner=owner) for number in range(10)], 1)
        had.append(len(start(dispatcher, 1)))
    assert had == [8, 4, 2, 1, 1, 0]  # there are no more than sixteen


def test_three_owners_who_looked_well_and_hang_leave_a_thread_and_room_for_another() -> None:
    dispatcher = Dispatcher(THREADS)
    warm(dispatcher, 99)
    for owner, number in itertools.product(range(3), range(10)):
        warm(dispatcher, 10 * owner + number, owner=owner)
    for owner in range(3):
        fill_all(dispatcher, [ready(10 * owner + number, owner=owner) for number in range(10)], 1)
    start(dispatcher, 1)
    for second in (1.1, 2.5, 14):  # looking well still, and after it was noticed
        assert len(fill(dispatcher, 99, second, most=1)) == 1
        (given,) = start(dispatcher, second)
        assert given.endpoint_id == 99
        dispatcher.answered(given, second + 0.01, well=True)


def test_a_lone_endpoint_that_is_well_has_half_of_the_threads_and_claims_waiting() -> None:
    dispatcher = Dispatcher(THREADS)
    warm(dispatcher, 1)
    assert len(fill(dispatcher, 1, 1)) == 4 * THREADS // 2
    assert len(start(dispatcher, 1)) == THREADS // 2


def test_claims_do_not_wait_long_for_an_endpoint_that_takes_its_time() -> None:
    for seconds, waiting in ((0.5, 0), (0.2, 1), (0.1, 2)):
        dispatcher = Dispatcher(THREADS)
        warm(dispatcher, 1, seconds)
        assert len(fill(dispatcher, 1, 1)) == (1 + waiting) * THREADS // 2


def test_a_failure_or_a_slow_answer_makes_an_endpoint_ill_until_a_good_one() -> None:
    for seconds, well in ((0.01, False), (1.5, True)):
        dispatcher = Dispatcher(THREADS)
        warm(dispatcher, 1)
        fill(dispatcher, 1, 1)
        under_way = start(dispatcher, 1)
        dispatcher.answered(under_way.pop(), 1 + seconds, well=well)
        assert len(dispatcher.take_back(1.1)) == 3 * THREADS // 2
        assert fill(dispatcher, 1, 1.1) == []
        for given in under_way:
            dispatcher.answered(given, 1.1, well=False)
        assert len(fill(dispatcher, 1, 1.2)) == FEW
        for given in start(dispatcher, 1.2):
            dispatcher.answered(given, 1.3, well=True)
        assert len(fill(dispatcher, 1, 1.4)) > THREADS // 2


def test_what_takes_long_is_ill_before_it_has_answered() -> None:
    dispatcher = Dispatcher(THREADS)
    warm(dispatcher, 1)
    fill(dispatcher, 1, 1)
    start(dispatcher, 1)
    assert dispatcher.take_back(1.5) == []
    assert len(dispatcher.take_back(2.5)) == 3 * THREADS // 2


def test_new_ones_who_hang_leave_a_quarter_of_the_threads_to_the_well_however_many_they_are() -> None:
    dispatcher = Dispatcher(THREADS)
    warm(dispatcher, 1)
    for second in range(1, 30):
        for endpoint in range(100, 130):
            fill(dispatcher, endpoint, second)
        start(dispatcher, second)
    assert fill(dispatcher, 1, 30)
    assert len(start(dispatcher, 30)) == THREADS // 8  # half of the quarter: it is one owner, too


def test_the_ill_have_at_most_half_of_the_threads() -> None:
    dispatcher = Dispatcher(THREADS)
    for endpoint in range(20):
        fill(dispatcher, endpoint, 0)
        for given in start(dispatcher, 0):
            dispatcher.answered(given, 0.1, well=False)
    for endpoint in range(20):
        fill(dispatcher, endpoint, 1)
    assert len(start(dispatcher, 1)) == THREADS // 2


def test_the_endpoint_served_longest_ago_is_next() -> None:
    dispatcher = Dispatcher(THREADS)
    for endpoint in (1, 2, 3):
        warm(dispatcher, endpoint)
    for endpoint in (1, 2, 3):
        fill(dispatcher, endpoint, 1)
    assert [given.endpoint_id for given in start(dispatcher, 1)][:6] == [1, 2, 3, 1, 2, 3]


def test_what_is_held_and_what_is_closed_waits_for_nobody() -> None:
    dispatcher = Dispatcher(THREADS)
    for endpoint in (1, 2):
        warm(dispatcher, endpoint)
    claims = [fill(dispatcher, endpoint, 1, most=4) for endpoint in (1, 2)]
    assert dispatcher.take_back(1, held={1}) == claims[0][::-1]
    dispatcher.close()
    assert dispatcher.next(1) is None
    assert dispatcher.take_back(1) == claims[1][::-1]


def test_a_worker_of_one_thread_serves_everybody() -> None:
    dispatcher = Dispatcher(1)
    served = []
    for endpoint in (1, 2, 3):
        fill(dispatcher, endpoint, 0)
        while (given := dispatcher.next(0)) is not None:
            served.append(given.endpoint_id)
            dispatcher.answered(given, 5, well=False)
    assert served == [1, 2, 3]


def test_claims_in_one_worker_are_bounded() -> None:
    dispatcher = Dispatcher(THREADS)
    for endpoint in range(50):
        warm(dispatcher, endpoint)
    assert sum(room(dispatcher, [ready(endpoint) for endpoint in range(50)], 1).values()) <= 4 * THREADS


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, THREADS, 256])
def test_thousands_of_endpoints_at_once_are_all_served(threads: int) -> None:
    dispatcher = Dispatcher(threads)
    waiting = {endpoint: ready(endpoint) for endpoint in range(3000)}
    for turn in range(3000):
        fill_all(dispatcher, list(waiting.values()), turn)
        for given in start(dispatcher, turn):
            dispatcher.answered(given, turn + 0.01, well=True)
            waiting.pop(given.endpoint_id, None)
        if not waiting:
            break
    assert not waiting


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: the bulkheads hold, and no claim is lost or given twice."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(THREADS)
        self.at = 0.0
        self.put: set[int] = set()
        self.out: list[Any] = []
        self.over: set[int] = set()

    @rule(endpoints=st.sets(st.integers(1, 12), min_size=1))
    def claim(self, endpoints: set[int]) -> None:
        for endpoint, count in room(
            self.dispatcher, [ready(endpoint, endpoint % 4) for endpoint in endpoints], self.at
        ).items():
            claims = [claim(endpoint) for _ in range(count)]
            self.put.update(one.id for one in claims)
            self.dispatcher.put(claims)

    @rule()
    def give(self) -> None:
        before = Counter(given.endpoint_id % 4 for given in self.out)
        if (given := self.dispatcher.next(self.at)) is not None:
            assert given.id not in self.over
            owner = given.endpoint_id % 4
            assert before[owner] + 1 <= max(1, (THREADS - before.total() + before[owner]) // 2)
            self.out.append(given)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), well=st.booleans(), sent=st.booleans())
    def finish(self, data: st.DataObject, well: bool, sent: bool) -> None:
        given = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.over.add(given.id)
        if sent:
            self.dispatcher.answered(given, self.at, well=well)
        else:
            self.dispatcher.dropped(given)

    @rule(seconds=st.floats(0.001, 3))
    def wait(self, seconds: float) -> None:
        self.at += seconds

    @rule(held=st.sets(st.integers(1, 12)))
    def take_back(self, held: set[int]) -> None:
        taken = {one.id for one in self.dispatcher.take_back(self.at, held)}
        assert not self.over & taken
        self.over |= taken

    @invariant()
    def bulkheads_hold(self) -> None:
        assert len(self.out) <= THREADS
        for endpoint in range(1, 13):
            assert sum(given.endpoint_id == endpoint for given in self.out) <= THREADS // 2

    def teardown(self) -> None:
        self.dispatcher.close()
        self.over |= {one.id for one in self.dispatcher.take_back(self.at)} | {given.id for given in self.out}
        assert self.over == self.put


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
