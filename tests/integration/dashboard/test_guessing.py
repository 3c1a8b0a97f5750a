"""Who guesses passwords is slowed down, and keeps nobody else out."""

from __future__ import annotations

import json
import multiprocessing
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select
from werkzeug.test import TestResponse

from cerber import machine
from cerber.app import create_app
from cerber.audit.models import AuditEntry
from cerber.db.engines import db
from cerber.db.transactions import reading
from cerber.errors import TooManyLogins, WrongLogin
from cerber.operators import delays, login, passwords
from cerber.operators.models import FailedLogin, Operator
from tests.integration.cli.test_commands import doctor
from tests.support.clock import Clock, now
from tests.support.desk import PASSWORD, Browser

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def stopped(clock: Clock) -> None:
    """Delays begin with a second, and a busy machine takes longer for a try."""
    clock.stop(now().replace(minute=20))


def everything(app: Flask, model: Any) -> list[Any]:
    with app.app_context(), reading() as session:
        return list(session.scalars(select(model).order_by(model.id)))


def told(app: Flask) -> list[dict[str, Any]]:
    entries = [entry for entry in everything(app, AuditEntry) if entry.action == "login_failed"]
    assert {entry.actor for entry in entries} <= {"stranger"}
    return [json.loads(entry.details) for entry in entries]


def from_address(app: Flask, address: str) -> Browser:
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = address
    return Browser(client)


def guess(app: Flask, username: str, address: str = "192.0.2.1") -> type[Exception]:
    with app.app_context(), pytest.raises((WrongLogin, TooManyLogins)) as raised:
        login.log_in(username, "wrong", "", address)
    return raised.type


# Delays


def test_each_further_failure_doubles_the_wait(app: Flask, people: None, clock: Clock) -> None:
    browser = from_address(app, "192.0.2.1")
    waits = []
    for _ in range(delays.FREE_OF_NAME + 5):
        answer = browser.log_in("anna", "wrong")
        if answer.status_code == 429:
            waits.append(int(answer.headers["Retry-After"]))
            assert f"Try again in {waits[-1]} second" in answer.text
            clock.stop(clock() + waits[-1] * SECOND)
            answer = browser.log_in("anna", "wrong")
        assert answer.status_code == 401
    assert waits == [1, 2, 4, 8, 16]


def test_a_name_that_nobody_has_waits_like_one_that_somebody_has(app: Flask, people: None) -> None:
    seen = []
    for name in ("anna", "nobody"):
        browser = from_address(app, f"192.0.2.{len(name)}")
        answers = [browser.log_in(name, "wrong") for _ in range(delays.FREE_OF_NAME + 1)]
        seen.append([(answer.status_code, answer.headers.get("Retry-After")) for answer in answers])
    assert seen[0] == seen[1]
    assert seen[0][-1] == (429, "1")


def test_who_is_told_to_wait_writes_nothing(app: Flask, people: None) -> None:
    for _ in range(delays.FREE_OF_NAME):
        guess(app, "anna")
    before = len(everything(app, FailedLogin)), len(everything(app, AuditEntry))
    for _ in range(10):
        assert guess(app, "anna") is TooManyLogins
    assert (len(everything(app, FailedLogin)), len(everything(app, AuditEntry))) == before


def test_twenty_invented_names_keep_the_admin_out_for_seconds_and_not_from_a_known_device(
    app: Flask, chief: Browser, clock: Clock
) -> None:
    chief.post("/logout")
    for number in range(delays.FREE_OF_ADDRESS):
        assert guess(app, f"name-{number}", "127.0.0.1") is WrongLogin
    assert chief.log_in("chief").status_code == 303  # whoever shares the address
    answer = from_address(app, "127.0.0.1").log_in("chief")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    clock.stop(clock() + SECOND)
    assert from_address(app, "127.0.0.1").log_in("chief").status_code == 303


def test_a_64_of_ipv6_is_one_address(app: Flask, people: None) -> None:
    for number in range(delays.FREE_OF_ADDRESS):
        assert guess(app, f"name-{number}", f"2001:db8:1:2::{number:x}") is WrongLogin
    assert guess(app, "another", "2001:db8:1:2:ffff::1") is TooManyLogins
    assert guess(app, "another", "2001:db8:1:3::1") is WrongLogin


def test_all_strangers_together_write_so_much_an_hour_and_no_more(app: Flask, people: None, clock: Clock) -> None:
    answers = [guess(app, f"n-{n}", f"2001:db8:{n:x}::1") for n in range(delays.MOST_A_MINUTE + 5)]
    assert answers == [WrongLogin] * delays.MOST_A_MINUTE + [TooManyLogins] * 5
    written = len(everything(app, FailedLogin)) + len(told(app))
    assert written * 60 <= 10_000
    clock.stop(clock() + 61 * SECOND)
    assert guess(app, "n", "2001:db8:ffff::1") is WrongLogin


def test_what_is_a_day_old_is_pruned(app: Flask, people: None, clock: Clock) -> None:
    rows = [{"username": f"n{n}", "address": "x", "at": clock() - timedelta(hours=25)} for n in range(300)]
    with app.app_context():
        db.session.execute(insert(FailedLogin), rows)
        db.session.commit()
    guess(app, "anna")
    guess(app, "anna")
    assert [row.username for row in everything(app, FailedLogin)] == ["anna", "anna"]


# A device that has logged in before


def test_failures_elsewhere_keep_nobody_out_of_a_known_device(app: Flask, anna: Browser) -> None:
    anna.post("/logout")
    for number in range(delays.FREE_OF_NAME):
        guess(app, "anna", f"198.51.100.{number}")
    assert from_address(app, "192.0.2.9").log_in("anna").status_code == 429
    assert anna.log_in("anna").status_code == 303


def test_a_known_device_has_delays_of_its_own(app: Flask, anna: Browser, clock: Clock) -> None:
    anna.post("/logout")
    for _ in range(delays.FREE_OF_NAME):
        assert anna.log_in("anna", "wrong").status_code == 401
    assert anna.log_in("anna").status_code == 429
    assert from_address(app, "192.0.2.9").log_in("anna").status_code == 303  # nobody else's business
    clock.stop(clock() + SECOND)
    assert anna.log_in("anna").status_code == 303


def test_a_device_is_known_for_the_names_that_logged_in_on_it_alone(app: Flask, anna: Browser) -> None:
    anna.post("/logout")
    for number in range(delays.FREE_OF_NAME):
        guess(app, "chief", f"198.51.100.{number}")
    assert anna.log_in("chief").status_code == 429


def test_people_share_a_device(app: Flask, anna: Browser) -> None:
    anna.post("/logout")
    assert anna.log_in("chief").status_code == 303
    anna.post("/logout")
    for number in range(delays.FREE_OF_NAME):
        guess(app, "anna", f"198.51.100.{number}")
        guess(app, "chief", f"198.51.100.{number}")
    assert anna.log_in("anna").status_code == 303


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "x" + text, lambda text: "x", lambda _: ""])
def test_a_forged_device_is_a_strange_one(app: Flask, anna: Browser, change: Any) -> None:
    anna.post("/logout")
    cookie = anna.client.get_cookie("cerber_device", path="/login")
    assert cookie is not None
    anna.client.set_cookie("cerber_device", change(cookie.value), path="/login")
    for number in range(delays.FREE_OF_NAME):
        guess(app, "anna", f"198.51.100.{number}")
    assert anna.log_in("anna").status_code == 429


def test_the_devices_cookie_is_out_of_reach(stranger: Browser) -> None:
    def device(answer: TestResponse) -> str:
        return next(text for text in answer.headers.getlist("Set-Cookie") if text.startswith("cerber_device="))

    plain = device(stranger.log_in("anna"))
    assert "HttpOnly" in plain
    assert "Path=/login" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    stranger.client.delete_cookie("cerber")
    page = stranger.client.get("/login", base_url="https://localhost")
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    fields = {"csrf_token": token, "username": "anna", "password": PASSWORD}
    assert "Secure" in device(stranger.client.post("/login", data=fields, base_url="https://localhost"))


# One hash at a time


@pytest.fixture
def slow_hash(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The next check of a password is begun, and goes on when it may."""
    begun, may_go_on = threading.Event(), threading.Event()
    fits, first = passwords.fits, threading.Lock()

    def held(password_hash: str, password: str) -> bool:
        if first.acquire(blocking=False):
            begun.set()
            assert may_go_on.wait(30)
        return fits(password_hash, password)

    monkeypatch.setattr(passwords, "fits", held)
    yield begun, may_go_on
    may_go_on.set()


def test_while_a_strangers_password_is_looked_at_other_strangers_come_again_and_known_devices_come_in(
    app: Flask, anna: Browser, slow_hash: tuple[threading.Event, threading.Event]
) -> None:
    anna.post("/logout")
    begun, may_go_on = slow_hash
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(from_address(app, "192.0.2.1").log_in, "nobody", "wrong")
        assert begun.wait(30)
        answer = from_address(app, "192.0.2.2").log_in("chief")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert "Somebody else is logging in at this moment. Try again in 1 second." in answer.text
        assert anna.log_in("anna").status_code == 303
        may_go_on.set()
        assert first.result().status_code == 401
    assert from_address(app, "192.0.2.2").log_in("chief").status_code == 303
    assert {row.username for row in everything(app, FailedLogin)} == {"nobody"}


def hold_the_turn(name: str, held: Any, done: Any) -> None:
    with machine.turn(name) as ours:
        held.put(ours)
        done.get()


def test_another_process_counts(app: Flask, env: dict[str, str], people: None) -> None:
    fork = multiprocessing.get_context("fork")
    held, done = fork.SimpleQueue(), fork.SimpleQueue()
    name = f"log-in {env['CERBER_DATABASE_URL']} True"
    holder = fork.Process(target=hold_the_turn, args=(name, held, done))
    holder.start()
    assert held.get()
    assert from_address(app, "192.0.2.1").log_in("anna").status_code == 429
    done.put(True)
    holder.join()
    assert from_address(app, "192.0.2.1").log_in("anna").status_code == 303


def test_a_wrong_name_takes_the_same_work_as_a_wrong_password(
    app: Flask, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same hash with the same costs, from the first try of a process on."""
    costs = []
    fits = passwords.fits

    def noted(password_hash: str, password: str) -> bool:
        costs.append(password_hash.rpartition("$")[0].rpartition("$")[0])
        return fits(password_hash, password)

    monkeypatch.setattr(passwords, "fits", noted)
    guess(app, "nobody")
    guess(app, "anna")
    assert len(costs) == 2
    assert costs[0] == costs[1]


# The audit log


def test_the_audit_log_tells_once_for_a_name_and_an_address_in_a_quarter_of_an_hour(
    app: Flask, people: None, clock: Clock
) -> None:
    def entry(username: str, address: str) -> dict[str, Any]:
        return {"username": username, "address": address, "known_device": False}

    for _ in range(3):
        guess(app, "anna")
    guess(app, "chief")
    guess(app, "anna", "2001:db8::1")
    expected = [entry("anna", "192.0.2.1"), entry("chief", "192.0.2.1"), entry("anna", "2001:db8::/64")]
    assert told(app) == expected
    clock.stop(clock() + timedelta(minutes=11))
    guess(app, "anna")
    assert told(app) == [*expected, entry("anna", "192.0.2.1")]


def test_a_log_in_that_succeeds_is_no_failure(app: Flask, anna: Browser) -> None:
    assert everything(app, FailedLogin) == []
    assert told(app) == []


def test_failures_of_a_known_device_are_told_as_such(app: Flask, anna: Browser) -> None:
    anna.post("/logout")
    anna.log_in("anna", "wrong")
    assert [entry["known_device"] for entry in told(app)] == [True]


def test_of_many_guesses_at_once_in_several_processes_the_audit_log_tells_once(
    app: Flask, env: dict[str, str], people: None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On several machines, whose turns know nothing of each other."""
    monkeypatch.setattr(machine, "_take", lambda place: True)
    other = create_app(env, clock)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: guess((app, other)[n % 2], "anna"), range(12)))
    assert len(told(app)) == 1
    assert len(everything(app, FailedLogin)) == delays.FREE_OF_NAME
    with other.app_context():
        for engine in db.engines.values():
            engine.dispose()
    with app.app_context():
        assert db.session.scalar(select(Operator.username).where(Operator.username == "anna"))


def test_doctor_and_metrics_tell_that_somebody_guesses(env: dict[str, str], clock: Clock) -> None:
    token = "the-token-of-a-scraper"
    app = create_app(env | {"CERBER_METRICS_TOKEN": token}, clock)
    client = app.test_client()

    def told() -> tuple[bool, str]:
        scraped = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
        (line,) = re.findall(r"^cerber_failed_logins .*$", scraped, re.MULTILINE)
        return doctor(app)["log-ins"][0], line

    assert told() == (True, "cerber_failed_logins 0.0")
    with app.app_context():
        rows = [{"username": f"n{n}", "address": "x", "at": clock() - timedelta(minutes=n)} for n in range(40)]
        db.session.execute(insert(FailedLogin), rows * 3)
        db.session.commit()
    assert told() == (False, "cerber_failed_logins 120.0")
    clock.stop(clock() + timedelta(minutes=40))
    assert told() == (True, "cerber_failed_logins 60.0")
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
