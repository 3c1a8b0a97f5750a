"""A signal may come at any moment, in the middle of another one's handler too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from cerber.webhooks.worker import stopping
from cerber.webhooks.worker.stopping import Stop

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


class Interrupted:
    """Sends another signal when the handler has come to its so-manieth line, wherever that is."""

    def __init__(self, line: int) -> None:
        self.lines_left = line

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                os.kill(os.getpid(), signal.SIGINT)
        return self.trace


def interrupt(stop: Stop, line: int) -> bool:
    """Whether the handler has so many lines."""
    interrupted, real = Interrupted(line), stop._ask

    def handler(*arguments: Any) -> None:
        sys.settrace(interrupted.trace)
        try:
            real(*arguments)
        finally:
            sys.settrace(None)

    signal.signal(signal.SIGTERM, handler)
    os.kill(os.getpid(), signal.SIGTERM)
    return interrupted.lines_left <= 0


def test_a_second_signal_anywhere_in_the_handler_of_the_first_blocks_nothing() -> None:
    before, line = sys.gettrace(), 1
    while True:
        stop = Stop()
        stop.heed_signals(60)
        reached = interrupt(stop, line)
        assert stop.asked
        assert signal.alarm(0) > 0  # the end is set
        if not reached:
            break
        line += 1
    sys.settrace(before)
    assert line > 2


def test_a_sleeper_heeds_a_signal_however_long_it_was_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "HEED", 0.05)
    stop = Stop()
    stop.heed_signals(60)
    signal.signal(signal.SIGALRM, stop._ask)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    stop.sleep(3600)
    assert stop.asked
