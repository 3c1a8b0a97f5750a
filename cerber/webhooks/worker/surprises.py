"""Exceptions that nobody foresaw: mistakes of ours. Each is told once with its traceback, however often it comes."""

from __future__ import annotations

import logging
import traceback

REMEMBERED = 100  # places

log = logging.getLogger(__name__)


class Surprises:
    """Those of one worker. Any thread may tell one."""

    def __init__(self) -> None:
        self._told: set[tuple[type, str, int | None]] = set()

    def tell(self, what: str, error: Exception) -> None:
        """Logs it, unless one of its kind came from the same line before."""
        place = traceback.extract_tb(error.__traceback__, -1)[0]
        kind = (type(error), place.filename, place.lineno)
        if kind in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(kind)
        log.error("%s, and nobody foresaw it. It is told once until the worker starts anew", what, exc_info=error)
