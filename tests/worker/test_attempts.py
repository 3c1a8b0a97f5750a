"""The log of attempts: what each of them says, and how long it is kept."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert

from cerber.app import create_app
from cerber.webhooks.models import WebhookAttempt
from cerber.webhooks.worker import heartbeats
from tests.support.authority import Authority
from tests.support.clock import now
from tests.support.databases import dispose
from tests.support.factories import MerchantKeys, open_payment
from tests.support.receivers import Connection, Receiver, Script
from tests.support.shop import Shop
from tests.support.workers import attempts, change, changed_worker, decide, put, webhooks, worker

ONE_TRY = {"CERBER_RETRY_SCHEDULE": "0,600"}
# A resolver that says at once that there is no such name, and less patience: 1 s for an attempt.
CHANGES = """
import functools, socket
real = socket.getaddrinfo
def resolver(host, *arguments, **more):
    if host == "gone.example":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return real(host, *arguments, **more)
socket.getaddrinfo = resolver
loop.Client = functools.partial(loop.Client, total_timeout=1.0)
"""


def answering(data: bytes) -> Script:
    """Answers with these bytes, whatever they are, and closes."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(data)

    return script


def hang(connection: Connection) -> None:
    connection.request()
    connection.hang()


def drip(connection: Connection) -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000)


def reset(connection: Connection) -> None:
    connection.request()
    connection.reset()


def test_each_says_when_how_long_and_what_was_sent(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    counter.pause, counter.answer = 0.3, b"thank you"
    decide(app, open_payment(app, keys, callback_url=url), 500_00)
    began = now()
    with worker(env | ONE_TRY, "--once") as process:
        assert process.wait(30) == 0
    (attempt,) = attempts(app)
    ended = now()
    assert began <= attempt.at <= attempt.at + timedelta(milliseconds=attempt.milliseconds - 1) <= ended
    assert attempt.milliseconds >= 300
    assert (str(attempt.outcome), attempt.detail, attempt.answer) == ("200", "", "thank you")
    assert attempt.webhook_id == webhooks(app)[0].id
    sent, arrived = json.loads(attempt.headers), counter.arrivals[0].headers
    assert sent == {name: arrived[name.lower()] for name in ("Content-Type", "webhook-id", "webhook-timestamp")}
    assert sent["webhook-id"] == webhooks(app)[0].event_id
    for name in ("signature", "webhook-signature"):
        assert arrived[name] not in attempt.headers


@contextmanager
def failing_receivers(directory: Path) -> Iterator[dict[str, str]]:
    """A URL for each way in which an attempt fails."""
    urls = {"dns": "http://gone.example/hook"}
    with ExitStack() as stack:

        def listen(outcome: str, script: Script, tls: ssl.SSLContext | None = None) -> Receiver:
            receiver = stack.enter_context(closing(Receiver(script, tls)))
            urls[outcome] = receiver.url
            return receiver

        listen("timeout", hang)
        listen("too_slow", drip)
        listen("reset", reset)
        listen("protocol", answering(b"good day\r\n\r\n"))
        listen("302", answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"))
        listen("404", answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nwhat"))
        listen("tls", answering(b""), Authority(directory).server("shop.example"))
        listen("refused", hang).close()
        yield urls


def test_each_says_how_it_failed(app: Flask, env: dict[str, str], keys: MerchantKeys, tmp_path: Path) -> None:
    with failing_receivers(tmp_path) as urls:
        for name, url in urls.items():
            put(app, keys, url, name)
        with changed_worker(env | ONE_TRY, CHANGES, "--once") as process:
            assert process.wait(60) == 0
    url_of = {webhook.id: webhook.url for webhook in webhooks(app)}
    found = {str(attempt.outcome): attempt for attempt in attempts(app)}
    assert {outcome: url_of[attempt.webhook_id] for outcome, attempt in found.items()} == urls, found
    for outcome in ("timeout", "too_slow"):
        assert 1000 <= found[outcome].milliseconds < 15_000
    for outcome, attempt in found.items():
        assert attempt.detail, outcome
        assert attempt.answer == ("what" if outcome == "404" else "")
        assert json.loads(attempt.headers).keys() == {"Content-Type", "webhook-id", "webhook-timestamp"}
    assert found["302"].detail == "answered 302; redirects are not followed"
    assert "gone.example" in found["dns"].detail


def test_an_address_inside_is_refused_and_noted(
    app: Flask, env: dict[str, str], keys: MerchantKeys, shop: tuple[Shop, str]
) -> None:
    counter, url = shop
    put(app, keys, url, "inside")
    with worker(env | ONE_TRY | {"CERBER_ALLOW_PRIVATE_CALLBACKS": "0"}, "--once") as process:
        assert process.wait(30) == 0
    assert [str(attempt.outcome) for attempt in attempts(app)] == ["blocked_address"]
    assert not counter.arrivals


def test_the_first_two_kibibytes_of_an_answer_are_kept_whatever_they_are(
    app: Flask, env: dict[str, str], keys: MerchantKeys
) -> None:
    answers = {
        b"a" * 2048 + b"b" * 70_000: "a" * 2048,
        "ə".encode() * 2000: "ə" * 1024,
        b"a" + "ə".encode() * 2000: "a" + "ə" * 1023 + "\ufffd",
        b"\xff\xfe\x00\r\n\x1b[31m" + "🙂".encode(): "\ufffd\ufffd\ufffd\r\n\x1b[31m🙂",
    }
    with ExitStack() as stack:
        for answer in answers:
            script = answering(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            put(app, keys, stack.enter_context(closing(Receiver(script))).url, "refused")
        with worker(env | ONE_TRY, "--once") as process:
            assert process.wait(30) == 0
    found = sorted(attempts(app), key=lambda attempt: attempt.webhook_id)
    assert [attempt.answer for attempt in found] == list(answers.values())
    assert {(str(attempt.outcome), attempt.detail) for attempt in found} == {("422", "answered 422")}


@pytest.mark.parametrize(("setting", "days"), [({}, 30), ({"CERBER_ATTEMPT_DAYS": "3"}, 3)])
def test_old_ones_are_pruned_in_small_batches(
    app: Flask, env: dict[str, str], keys: MerchantKeys, setting: dict[str, str], days: int
) -> None:
    put(app, keys, "http://127.0.0.1:9/hook", "old")
    row = {"webhook_id": webhooks(app)[0].id, "milliseconds": 1, "outcome": "200", "detail": "", "answer": ""}
    old, young = timedelta(days=days, seconds=1), timedelta(days=days) - timedelta(minutes=5)
    rows = [row | {"headers": "{}", "at": now() - age} for age in [old] * 1200 + [young] * 5]
    for start in range(0, 1205, 100):
        change(app, insert(WebhookAttempt).values(rows[start : start + 100]))
    product = create_app(env | setting)
    left = []
    with product.app_context():
        for _ in range(4):
            heartbeats.tidy()
            left.append(len(attempts(app)))
    dispose(product)
    assert left == [1205 - 500, 1205 - 1000, 5, 5]
    assert all(attempt.at > now() - timedelta(days=days) for attempt in attempts(app))
