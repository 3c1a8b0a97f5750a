"""The time in tests: a clock for a whole app, which a test may stop, and the machine's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from cerber.context import system_clock

T = TypeVar("T")

now = system_clock


class Clock:
    """What an app goes by: the machine's time, or the moment at which a test has stopped it.

    A thread may have a time of its own, so that one who acts at the last moment can race with one who comes just
    after it.
    """

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._own = threading.local()

    def __call__(self) -> datetime:
        return getattr(self._own, "moment", None) or self._moment or system_clock()

    def stop(self, at: datetime) -> None:
        self._moment = at

    def go(self) -> None:
        """On with the machine's time."""
        self._moment = None

    def stop_here(self, at: datetime) -> None:
        """For this thread alone."""
        self._own.moment = at

    def at(self, moment: datetime, deed: Callable[[], T]) -> Callable[[], T]:
        """The deed, done at that moment by the thread that does it."""

        def then() -> T:
            self.stop_here(moment)
            return deed()

        return then
