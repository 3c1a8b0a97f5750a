"""How a worker is told to stop: by SIGTERM or SIGINT."""

from __future__ import annotations

import atexit
import os
import signal
import time
from math import ceil

HEED = 1.0  # seconds within which a sleeper heeds a signal


class Stop:
    """Whether a worker is to stop: `asked`, from the first signal on if it heeds them."""

    def __init__(self) -> None:
        self.asked = False
        self._within = 0

    def heed_signals(self, within: float) -> None:
        """From now on. Their handler takes no lock, so another may come while it runs. From the first on the process
        ends within so many seconds, even if it is kept waiting: by a database, or by who should read what it logs."""
        self._within = ceil(within)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        atexit.register(signal.alarm, 0)  # from there on Python takes its handlers down, and an alarm would be a kill
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def sleep(self, seconds: float) -> None:
        """Until it is asked. In slices: Python goes on sleeping after a signal."""
        ends = time.monotonic() + seconds
        while not self.asked and (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, HEED))

    def _ask(self, *_: object) -> None:
        if not self.asked:
            self.asked = True
            signal.alarm(self._within)
