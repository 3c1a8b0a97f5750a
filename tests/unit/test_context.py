"""The time: an app goes by the clock that it was made with, and by nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from cerber import context
from cerber.app import create_app
from cerber.config import ROOT
from tests.support.clock import Clock
from tests.support.databases import ENV

THEN = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
MEMORY = ENV | {"CERBER_DATABASE_URL": "sqlite:///:memory:"}
READS_TIME = re.compile(r"datetime\.now\(|\.utcnow\(|date\.today\(|time\.time\(|func\.now\(")


def test_each_app_goes_by_its_own_clock() -> None:
    clock = Clock()
    clock.stop(THEN)
    with create_app(MEMORY, clock).app_context():
        assert context.now() == THEN
        clock.stop(THEN + timedelta(hours=1))
        assert context.now() == context.clock()() == THEN + timedelta(hours=1)
        with create_app(MEMORY).app_context():
            assert abs(context.now() - datetime.now(UTC)) < timedelta(minutes=1)
        assert context.now() == THEN + timedelta(hours=1)


def test_there_is_no_time_outside_an_app() -> None:
    with pytest.raises(RuntimeError, match="application context"):
        context.now()


def test_nobody_else_asks_the_machine() -> None:
    asks = {
        str(path.relative_to(ROOT)): READS_TIME.findall(path.read_text("utf-8"))
        for path in (ROOT / "cerber").rglob("*.py")
    }
    assert {name for name, found in asks.items() if found} == {
        "cerber/context.py",
        "cerber/webhooks/worker/jobs.py",  # watches the machine's clock itself, to see it jump
    }
