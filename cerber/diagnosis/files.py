"""Files that hold secrets or payments: may others on this machine read them?"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from cerber.config import ROOT
from cerber.db.engines import db, sqlite_file

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_to_others() -> list[Path]:
    """Those that are there and whose permissions let anybody but their owner in."""
    return [path for path in _kept() if path.exists() and path.stat().st_mode & OTHERS]


def remedy(path: Path) -> str:
    return f"chmod {'700' if path.is_dir() else '600'} {path}"


def _kept() -> Iterator[Path]:
    yield ROOT / ".env"
    if database := sqlite_file(db.engine):
        if database.parent == ROOT / "instance":
            yield database.parent
        yield from (database, *(database.with_name(f"{database.name}-{what}") for what in ("wal", "shm", "journal")))
