"""How long things around a delivery take at most (contract section 5), each derived from those before it."""

from __future__ import annotations

from datetime import timedelta

CONNECT = 5.0  # seconds, for TCP and TLS
ATTEMPT = 15.0  # seconds, for all of an attempt
FREE_AGAIN = timedelta(seconds=30)  # what a worker that dies had claimed

LONGEST_ATTEMPT = timedelta(seconds=ATTEMPT + 1)  # until its thread has noticed
LEASE = FREE_AGAIN - timedelta(seconds=2)  # until another worker has looked, and sent it
STOPS_WITHIN = LONGEST_ATTEMPT.total_seconds() + 3  # seconds, with the recording of what came of it

HEARTBEAT = 30.0  # seconds
ALIVE = timedelta(seconds=2 * HEARTBEAT)  # since the last heartbeat
