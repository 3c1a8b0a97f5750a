"""Who waits for a lock of the database, while a test holds it."""

from __future__ import annotations

import threading

from sqlalchemy import Engine, event


def waiting(engine: Engine) -> threading.Event:
    """Set as soon as somebody waits for the lock, or is just before it: at the beginning of a transaction on SQLite,
    at a statement on MySQL."""
    begins = threading.Event()
    moment = "engine_connect" if engine.dialect.name == "sqlite" else "before_cursor_execute"
    event.listen(engine, moment, lambda *_: begins.set())
    return begins
