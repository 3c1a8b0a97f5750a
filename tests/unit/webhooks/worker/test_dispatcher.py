"""Whose letter goes next: pure rules, with the time given."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cerber.webhooks.worker.dispatcher import FEW, Given, Lanes, Wish

THREADS = 16


def wish(endpoint: int, owner: int | None = None, *, failing: bool = False) -> Wish:
    return Wish(endpoint, endpoint if owner is None else owner, failing)


def fill(lanes: Lanes[str], endpoint: int, at: float, most: int = 100) -> int:
    """Claims as much as the lane takes, and puts it in."""
    share = min(lanes.shares([wish(endpoint)], at).get(endpoint, 0), most)
    for number in range(share):
        lanes.put(endpoint, f"{endpoint}/{number}")
    return share


def start(lanes: Lanes[str], at: float) -> list[Given[str]]:
    started = []
    while (given := lanes.next(at)) is not None:
        started.append(given)
    return started


def warm(lanes: Lanes[str], endpoint: int, seconds: float = 0.01, rounds: int = 10) -> None:
    """So many good answers that took so long."""
    for _ in range(rounds):
        fill(lanes, endpoint, 0)
        while started := start(lanes, 0):
            for given in started:
                lanes.answered(given, seconds, well=True)


def test_a_new_endpoint_has_one_thread_and_one_more_with_each_good_answer() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for threads in (1, 2, 3, 4):
        fill(lanes, 1, threads)
        started = start(lanes, threads)
        assert len(started) == threads
        lanes.answered(started[0], threads + 0.01, well=True)
        for given in started[1:]:
            lanes.dropped(given)
        lanes.take_back(threads, held={1})


def test_an_endpoint_that_others_saw_failing_does_not_begin_as_new() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    known = [wish(endpoint, failing=True) for endpoint in range(30)]
    put(lanes, known, 0)
    assert len(start(lanes, 0)) == THREADS // 2


def test_one_owner_has_a_few_threads_for_all_its_endpoints_that_are_not_quick() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for second in range(60):
        put(lanes, [wish(endpoint, owner=7) for endpoint in range(100, 140)], second)
        start(lanes, second)
    assert lanes.shares([wish(200, owner=7)], 60) == {}
    assert fill(lanes, 1, 60) == 1
    assert [given.endpoint for given in start(lanes, 60)] == [1]


def put(lanes: Lanes[str], wishes: list[Wish], at: float) -> None:
    for endpoint, count in lanes.shares(wishes, at).items():
        for _ in range(count):
            lanes.put(endpoint, "letter")


def test_a_lone_quick_endpoint_has_half_of_the_threads_and_letters_waiting() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    warm(lanes, 1)
    assert fill(lanes, 1, 1) == 4 * THREADS // 2
    assert len(start(lanes, 1)) == THREADS // 2


def test_letters_do_not_wait_long_for_an_endpoint_that_takes_its_time() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    warm(lanes, 1, seconds=0.5, rounds=20)
    assert fill(lanes, 1, 1) == THREADS // 2 + THREADS // 4


def test_a_failure_or_a_slow_answer_makes_an_endpoint_start_anew() -> None:
    for seconds, well in ((0.01, False), (1.5, True)):
        lanes: Lanes[str] = Lanes(THREADS)
        warm(lanes, 1)
        fill(lanes, 1, 1)
        under_way = start(lanes, 1)
        lanes.answered(under_way.pop(), 1 + seconds, well=well)
        assert len(lanes.take_back(1.1)) == 3 * THREADS // 2
        assert lanes.shares([wish(1)], 1.1) == {}
        for given in under_way:
            lanes.answered(given, 1.1, well=False)
        assert lanes.shares([wish(1)], 1.2) == {1: FEW}


def test_what_takes_long_is_sick_before_it_has_answered() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    warm(lanes, 1)
    fill(lanes, 1, 1)
    start(lanes, 1)
    assert lanes.take_back(1.5) == []
    assert len(lanes.take_back(2.5)) == 3 * THREADS // 2


def test_those_who_hang_leave_a_quarter_of_the_threads_to_the_quick_however_many_they_are() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    warm(lanes, 1)
    for second in range(1, 30):
        for endpoint in range(100, 130):
            fill(lanes, endpoint, second)
        start(lanes, second)
    assert fill(lanes, 1, 30) > 0
    assert len(start(lanes, 30)) >= THREADS // 4


def test_the_sick_have_at_most_half_of_the_threads() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for endpoint in range(20):
        fill(lanes, endpoint, 0)
        for given in start(lanes, 0):
            lanes.answered(given, 0.1, well=False)
    for endpoint in range(20):
        fill(lanes, endpoint, 1)
    assert len(start(lanes, 1)) == THREADS // 2


def test_the_endpoint_served_longest_ago_is_next() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for endpoint in (1, 2, 3):
        warm(lanes, endpoint, rounds=1)
    for endpoint in (1, 2, 3):
        fill(lanes, endpoint, 1)
    assert [given.endpoint for given in start(lanes, 1)][:6] == [1, 2, 3, 1, 2, 3]


def test_what_is_held_and_what_is_closed_waits_for_nobody() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for endpoint in (1, 2):
        warm(lanes, endpoint)
    for endpoint in (1, 2):
        fill(lanes, endpoint, 1, most=4)
    assert lanes.take_back(1, held={1}) == ["1/3", "1/2", "1/1", "1/0"]
    lanes.close()
    assert lanes.next(1) is None
    assert len(lanes.take_back(1)) == 4


def test_a_worker_of_one_thread_serves_everybody() -> None:
    lanes: Lanes[str] = Lanes(1)
    served = []
    for endpoint in (1, 2, 3):
        fill(lanes, endpoint, 0)
        while (given := lanes.next(0)) is not None:
            served.append(given.endpoint)
            lanes.answered(given, 5, well=False)
    assert served == [1, 2, 3]


def test_letters_in_one_worker_are_bounded() -> None:
    lanes: Lanes[str] = Lanes(THREADS)
    for endpoint in range(50):
        warm(lanes, endpoint, rounds=9)
    assert sum(lanes.shares(map(wish, range(50)), 1).values()) <= 4 * THREADS


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, THREADS, 256])
def test_thousands_of_endpoints_at_once_are_all_served(threads: int) -> None:
    lanes: Lanes[str] = Lanes(threads)
    waiting = {endpoint: wish(endpoint) for endpoint in range(3000)}
    for turn in range(3000):
        put(lanes, list(waiting.values()), turn)
        for given in start(lanes, turn):
            lanes.answered(given, turn + 0.01, well=True)
            waiting.pop(given.endpoint, None)
        if not waiting:
            break
    assert not waiting


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: the shares of the threads hold, and no letter is lost or given twice."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[str] = Lanes(THREADS)
        self.at = 0.0
        self.put = 0
        self.out: list[Given[str]] = []
        self.over: set[str] = set()

    @rule(endpoints=st.sets(st.integers(1, 12), min_size=1))
    def claim(self, endpoints: set[int]) -> None:
        for endpoint, count in self.lanes.shares(
            [wish(endpoint, endpoint % 4) for endpoint in endpoints], self.at
        ).items():
            for _ in range(count):
                self.put += 1
                self.lanes.put(endpoint, str(self.put))

    @rule()
    def give(self) -> None:
        if (given := self.lanes.next(self.at)) is not None:
            assert given.letter not in self.over
            self.out.append(given)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), well=st.booleans(), sent=st.booleans())
    def finish(self, data: st.DataObject, well: bool, sent: bool) -> None:
        given = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.over.add(given.letter)
        if sent:
            self.lanes.answered(given, self.at, well=well)
        else:
            self.lanes.dropped(given)

    @rule(seconds=st.floats(0.001, 3))
    def wait(self, seconds: float) -> None:
        self.at += seconds

    @rule(held=st.sets(st.integers(1, 12)))
    def take_back(self, held: set[int]) -> None:
        taken = self.lanes.take_back(self.at, held)
        assert not self.over.intersection(taken)
        self.over.update(taken)

    @invariant()
    def shares_hold(self) -> None:
        assert len(self.out) <= THREADS
        for endpoint in range(1, 13):
            assert sum(given.endpoint == endpoint for given in self.out) <= THREADS // 2

    def teardown(self) -> None:
        self.lanes.close()
        self.over.update(self.lanes.take_back(self.at), (given.letter for given in self.out))
        assert len(self.over) == self.put


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
