"""What all processes of a machine share without a server: files of this user's own, and turns.

Both lie in the directory for temporary files: a disk of this machine, where the one that the app lies on may be on a
network.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

_lock = threading.Lock()
_taken: set[int] = set()  # the turns of this process: the file's locks keep out other processes alone


def own_path(name: str) -> Path:
    """Where this user's file of that name lies."""
    return Path(tempfile.gettempdir()) / f"cerber-{name}-{os.geteuid()}"


def own_file(path: Path, size: int = 0) -> int:
    """The file, made where there is none, of `size` bytes at least. Raises OSError where it is not ours alone: the
    directory is open to anybody."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(file)
        raise PermissionError(f"{path} is not this user's own")
    if found.st_size < size:  # never less: another process may have all of it in its memory
        os.ftruncate(file, size)
    return file


@contextmanager
def turn(name: str) -> Iterator[bool]:
    """Whether it is our turn: no other thread or process of this machine is inside one of that name. Nobody waits,
    and the system takes the turn from a process that dies."""
    place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())
    got = _take(place)
    try:
        yield got
    finally:
        if got:
            _give_back(place)


def _take(place: int) -> bool:
    with _lock:
        file = _turns()
        if place in _taken or not (file is None or _locked(file, place)):
            return False
        _taken.add(place)
        return True


def _give_back(place: int) -> None:
    with _lock:
        _taken.discard(place)
        if (file := _turns()) is not None:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)


def _locked(file: int, place: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except OSError:
        return False
    return True


@cache
def _turns() -> int | None:
    """One empty file for all turns, each a lock on a byte far behind its end. None where there can't be one."""
    try:
        return own_file(own_path("turns"))
    except OSError as error:
        log.warning("Turns are kept in each process alone: %s", error)
        return None
