"""Guessers from a thousand addresses against real processes and real hashes: what everybody else feels."""

from __future__ import annotations

import http.cookiejar
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from cerber.audit.models import AuditEntry
from cerber.db.transactions import reading
from cerber.operators import delays, staff
from cerber.operators.models import FailedLogin
from tests.chaos.test_slow_visitors import honest
from tests.support.factories import MerchantKeys, open_payment
from tests.support.web import Web, web

pytestmark = pytest.mark.timeout(180)
PASSWORD = "correct horse battery"
GUESSERS = 8
HASH = 65 * 1024 * 1024


@pytest.fixture
def running(env: dict[str, str]) -> Iterator[Web]:
    with web(env | {"CERBER_TRUSTED_PROXIES": "1"}) as found:
        yield found


class Visitor:
    """A browser at some address, as the proxy in front tells it."""

    def __init__(self, port: int, address: str) -> None:
        self._url = f"http://127.0.0.1:{port}/login"
        self._jar = http.cookiejar.CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self._jar)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, _Stay())
        self._opener.addheaders = [("X-Forwarded-For", address)]
        self.begin()

    def begin(self) -> None:
        """With a new session, on the same device."""
        for cookie in [cookie for cookie in self._jar if cookie.name == "cerber"]:
            self._jar.clear(cookie.domain, cookie.path, cookie.name)
        page = self._opener.open(self._url, timeout=60).read().decode()
        self._token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]

    def log_in(self, username: str, password: str) -> int:
        fields = {"csrf_token": self._token, "username": username, "password": password}
        try:
            return int(self._opener.open(self._url, urllib.parse.urlencode(fields).encode(), timeout=60).status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: what the log-in itself answers is looked at."""

    def redirect_request(self, *_: object) -> None:
        return None


@contextmanager
def guessing(port: int) -> Iterator[Counter[int]]:
    """Each from an IPv6 network of its own each time, half of them at the admin's name."""
    stop, answers = threading.Event(), Counter[int]()

    def guess(number: int) -> None:
        dice = random.Random(number)
        while not stop.is_set():
            visitor = Visitor(port, f"2a00:{dice.randrange(65536):x}:{dice.randrange(65536):x}::1")
            name = "chief" if number % 2 else f"name-{dice.random()}"
            for _ in range(5):
                answers[visitor.log_in(name, "wrong")] += 1

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(GUESSERS)]
    for thread in threads:
        thread.start()
    yield answers
    stop.set()
    for thread in threads:
        thread.join()


def memory(pid: int, kind: str = "VmRSS") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(kind))) * 1024


def written(app: Flask) -> int:
    with app.app_context(), reading() as session:
        failed = session.scalar(select(func.count()).select_from(FailedLogin)) or 0
        told = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "login_failed")
        return failed + (session.scalar(told) or 0)


def test_guessers_slow_nobody_down_keep_no_owner_out_and_write_little(
    app: Flask, keys: MerchantKeys, running: Web
) -> None:
    open_payment(app, keys)
    with app.app_context():
        staff.add("chief", PASSWORD, "admin", "cli")
    chief = Visitor(running.port, "192.0.2.1")
    assert chief.log_in("chief", PASSWORD) == 303
    chief.begin()
    for number in range(12):  # what each process loads once, at its first log-in
        Visitor(running.port, f"198.51.100.{number}").log_in(f"warm-{number}", "wrong")
    honest(running.port, keys)
    quiet, before = honest(running.port, keys), {pid: memory(pid) for pid in running.workers}
    begun = time.monotonic()
    with guessing(running.port) as answers:
        felt = honest(running.port, keys)
        time.sleep(max(0.0, 6 - (time.monotonic() - begun)))
        peaks = {pid: memory(pid, "VmHWM") for pid in before}
        known = chief.log_in("chief", PASSWORD)
    minutes = 1 + (time.monotonic() - begun) // 60
    assert known == 303, "a device that has logged in before"
    assert set(answers) <= {401, 429}, answers
    assert answers[401] <= delays.MOST_A_MINUTE * minutes
    assert written(app) <= 2 * delays.MOST_A_MINUTE * minutes
    assert felt <= max(2 * quiet, 0.25), (quiet, felt, answers)
    for pid, memory_before in before.items():
        assert peaks[pid] - memory_before <= HASH + 10 * 1024 * 1024
        assert memory(pid) - memory_before <= 10 * 1024 * 1024
