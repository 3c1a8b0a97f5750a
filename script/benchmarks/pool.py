"""`python -m benchmarks.pool URL COUNT THREADS`: posts from a plain thread pool, a requests.Session a thread."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import requests

BODY = b'{"payment_id": "3636363", "status": "accept", "confirm_sum": 500}'
HEADERS = {
    "Content-Type": "application/json",
    "Signature": "0" * 64,
    "webhook-id": "evt_" + "0" * 26,
    "webhook-timestamp": "1800000000",
    "webhook-signature": "v1," + "0" * 44,
}
_own = threading.local()


def post(url: str) -> None:
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
    _own.session.post(url, data=BODY, headers=HEADERS, timeout=15).raise_for_status()


def main(url: str, count: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(post, url) for _ in range(count)]:
            done.result()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
