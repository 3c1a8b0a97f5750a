"""What an idle worker sees, and how little it asks for it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from cerber.app import create_app
from cerber.webhooks.models import Webhook
from cerber.webhooks.worker import agenda
from cerber.webhooks.worker.agenda import Agenda
from tests.support.clock import now
from tests.support.factories import MerchantKeys
from tests.support.workers import change, put, until

URL = "http://shop.example/hook"


@pytest.fixture
def looks(app: Flask) -> Iterator[Agenda]:
    with app.app_context():
        found = Agenda()
    yield found
    found.close()


def asked(looks: Agenda, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When it asks the database, from here on."""
    real, times = looks.look, []

    def look() -> agenda.Due:
        times.append(time.monotonic())
        return real()

    monkeypatch.setattr(looks, "look", look)
    return times


def test_what_another_process_has_written_is_seen_at_once_whenever_it_comes(
    app: Flask, looks: Agenda, keys: MerchantKeys
) -> None:
    chance, pause = random.Random(), threading.Event()
    for number in range(30):
        assert not looks.glance().event
        pause.wait(chance.random() / 8)
        looks.glance()  # just before the event, or well before it
        put(app, keys, URL, str(number))
        assert looks.glance().event
        change(app, update(Webhook).values(due_at=now() + timedelta(hours=1)))


def test_what_becomes_due_by_time_alone_is_seen_within_a_second(
    app: Flask, looks: Agenda, keys: MerchantKeys
) -> None:
    put(app, keys, URL, "later")
    due_at = now() + timedelta(seconds=0.5)
    change(app, update(Webhook).values(due_at=due_at))
    assert not looks.glance().event
    until(lambda: looks.glance().event, every=0.01)
    assert now() - due_at < timedelta(seconds=1.5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_sqlite_that_nobody_writes_to_is_asked_once_a_second(
    app: Flask, looks: Agenda, keys: MerchantKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(app, keys, URL, "first")
    looks.look()
    times, ends = asked(looks, monkeypatch), time.monotonic() + 3
    glances = 0
    until(lambda: looks.glance() and time.monotonic() > ends, every=0.01)
    while time.monotonic() < ends + 2:
        looks.glance()
        glances += 1
    settled = [moment for moment in times if moment > ends]
    assert 1 <= len(settled) <= 3 < glances


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_a_network_disk_it_is_asked_each_time(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(env | {"PYTHONANYWHERE_DOMAIN": "pythonanywhere.com"})
    with app.app_context():
        looks = Agenda()
    times = asked(looks, monkeypatch)
    for _ in range(5):
        looks.glance()
    looks.close()
    assert len(times) == 5
