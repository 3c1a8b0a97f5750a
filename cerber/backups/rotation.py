"""The names of backups in a directory, and how many stay there."""

from __future__ import annotations

import re
from pathlib import Path

from cerber.context import now

_OURS = re.compile(r"cerber-\d{8}T\d{6}(\.\d{6})?Z\.zip")


def next_name(directory: Path, kind: str = "cerber") -> Path:
    """For a backup made now. Names sort by time, in UTC."""
    return directory / f"{kind}-{now():%Y%m%dT%H%M%S.%fZ}.zip"


def prune(directory: Path, keep: int) -> list[Path]:
    """Removes all but the newest of the backups that `next_name` named; nothing else. What it removed."""
    ours = sorted(path for path in directory.iterdir() if _OURS.fullmatch(path.name))
    for old in ours[:-keep]:
        old.unlink()
    return ours[:-keep]
