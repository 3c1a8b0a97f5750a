"""How often something may happen, counted where all processes of a machine see it: in a file of fixed size that each
of them has in its memory. No server, no database; the counts of a minute are lost with the machine.

The window slides: what happened in this minute, and of the one before the share that is still within the last sixty
seconds. So at most `limit` happen in a minute, with no burst where one minute ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from math import ceil
from pathlib import Path

from cerber import machine

WINDOW = 60.0  # seconds
WAYS = 8  # places that a key may have
SETS = 2048  # of such places, for each region
LOCK_TRIES, LOCK_PAUSE = 20, 0.0002  # seconds; then it is counted without the lock: a process may be stopped with it

_SLOT = struct.Struct("=16sIII4x")
_SET = _SLOT.size * WAYS


class Region(IntEnum):
    """Keys that may not drive each other out: there are as many addresses as somebody wants there to be."""

    MERCHANTS = 0
    ADDRESSES = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in the window of this number, and in the one before it."""

    window: int = 0
    here: int = 0
    before: int = 0

    def at(self, moment: float) -> Counts:
        """The same counts, seen from a later window."""
        window = int(moment // WINDOW)
        if window == self.window:
            return self
        return Counts(window, 0, self.here if window == self.window + 1 else 0)

    def wait(self, limit: int, moment: float) -> float:
        """How many seconds until one more is within the limit; 0 where it is now. Of counts as they are `at` it."""
        into = moment % WINDOW / WINDOW
        if self.before * (1 - into) + self.here + 1 <= limit:
            return 0.0
        if self.here + 1 <= limit:  # some of the window before has to pass
            return (1 - (limit - 1 - self.here) / self.before - into) * WINDOW
        return (1 - into + 1 - (limit - 1) / self.here) * WINDOW


class Rates:
    """The counts of all that share `path`; of this process alone where there is None."""

    def __init__(self, path: Path | None, salt: bytes) -> None:
        self._salt = hashlib.sha256(salt).digest()
        size = len(Region) * SETS * _SET
        self._file = None if path is None else machine.own_file(path, size)
        self._memory = mmap.mmap(-1 if self._file is None else self._file, size)
        self._threads = threading.Lock()

    def spend(self, region: Region, key: str, limit: int, moment: float | None = None) -> int:
        """Counts one more of `key` and gives 0; or, where that would pass `limit` in a minute, how many whole seconds
        to wait. What waits is not counted. `moment` is by time.monotonic, which all processes of a machine share."""
        at = time.monotonic() if moment is None else moment
        name = hashlib.blake2b(key.encode(), digest_size=16, key=self._salt).digest()
        start = (region * SETS + int.from_bytes(name[:4]) % SETS) * _SET
        with self._threads, self._locked(start):
            place, counts = self._find(start, name, int(at // WINDOW))
            counts = counts.at(at)
            wait = counts.wait(limit, at)
            if not wait:
                _SLOT.pack_into(self._memory, place, name, counts.window, counts.here + 1, counts.before)
        return ceil(wait)

    def _find(self, start: int, name: bytes, window: int) -> tuple[int, Counts]:
        """Where the key is, or else takes the place of what was used least lately."""
        oldest, since = start, window + 1
        for place in range(start, start + _SET, _SLOT.size):
            found, *counts = _SLOT.unpack_from(self._memory, place)
            if found == name:
                return place, Counts(*counts)
            used = counts[0] if counts[0] <= window else 0  # from before the machine started anew
            if used < since:
                oldest, since = place, used
        return oldest, Counts()

    @contextmanager
    def _locked(self, start: int) -> Iterator[None]:
        """Keeps other processes out of one set. The system takes the lock from a process that dies."""
        held = self._file is not None and _lock(self._file, start)
        try:
            yield
        finally:
            if held and self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, start)


def shared_path() -> Path:
    """Where all processes of this machine count."""
    return machine.own_path("rates")


def _lock(file: int, start: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
        except OSError:
            time.sleep(LOCK_PAUSE)
        else:
            return True
    return False
