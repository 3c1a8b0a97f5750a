"""Who counts as alive: a worker that runs, and one that was killed for a minute; never one that ended by itself."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from flask import Flask

from tests.support.workers import stop, until, worker


def alive(app: Flask) -> int:
    return int(app.test_client().get("/health/worker").get_json()["workers_alive"])


def heartbeat_age(app: Flask) -> Any:
    return app.test_client().get("/health/ready").get_json()["heartbeat_age"]


def doctor(app: Flask) -> tuple[bool, str]:
    checks = json.loads(app.test_cli_runner().invoke(args=["doctor", "--json"]).stdout)["checks"]
    return next((check["ok"], check["message"]) for check in checks if check["name"] == "worker")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_stops_says_goodbye(app: Flask, env: dict[str, str], number: int) -> None:
    with worker(env) as process:
        until(lambda: alive(app) == 1)
        assert heartbeat_age(app) < 30
        assert doctor(app)[0]
        stop(process, number)
    assert alive(app) == 0
    assert heartbeat_age(app) is None
    well, message = doctor(app)
    assert not well
    assert message.startswith("none is alive, ")
    assert " stopped last, " in message


def test_a_single_run_says_goodbye(app: Flask, env: dict[str, str]) -> None:
    with worker(env, "--once") as process:
        assert process.wait(30) == 0
    assert alive(app) == 0
    assert " once stopped last, " in doctor(app)[1]


def test_one_that_was_killed_could_not(app: Flask, env: dict[str, str]) -> None:
    with worker(env) as process:
        until(lambda: alive(app) == 1)
        process.kill()
        process.wait()
    assert alive(app) == 1
    assert heartbeat_age(app) is not None
