"""What nobody foresaw comes out as it is: no connection stays open, and nothing is watched any longer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection

from cerber.webhooks.client import client
from cerber.webhooks.client.answers import Answer
from cerber.webhooks.client.deadline import Watchdog
from tests.integration.webhooks.client.kit import BODY, HEADERS, PATIENCE, Listen, Open
from tests.support.receivers import OK, Connection, Script


class Unforeseen(Exception):
    pass


def fail(*_: object, **__: object) -> Any:
    raise Unforeseen


def answer_then_wait_for_the_end(ended: threading.Event) -> Script:
    def script(connection: Connection) -> None:
        connection.request()
        try:
            connection.send(OK)
            connection.request()
        finally:
            ended.set()

    return script


# Where it happens, and whether a connection was open by then.
PLACES = [
    (HTTPConnection, "connect", False),
    (HTTPConnection, "putrequest", False),
    (HTTPConnection, "getresponse", True),
    (Answer, "begin", True),
    (HTTPResponse, "__init__", True),
    (HTTPResponse, "read1", True),
    (HTTPConnectionPool, "urlopen", False),
    (client, "_judged", True),
]


@pytest.mark.parametrize(("where", "what", "connected"), PLACES, ids=lambda part: getattr(part, "__name__", part))
def test_it_comes_out_as_itself_and_leaves_nothing_behind(
    listen: Listen, door: Open, monkeypatch: pytest.MonkeyPatch, where: type, what: str, connected: bool
) -> None:
    watched: list[Any] = []
    real_watch, real_release = Watchdog.watch, Watchdog.release
    monkeypatch.setattr(Watchdog, "watch", lambda *args: watched.append(real_watch(*args)) or watched[-1])
    monkeypatch.setattr(Watchdog, "release", lambda dog, watch: real_release(dog, watched.pop(watched.index(watch))))
    ended = threading.Event()
    receiver = listen(answer_then_wait_for_the_end(ended))
    client = door()
    with monkeypatch.context() as broken:
        broken.setattr(where, what, fail)
        with pytest.raises(Unforeseen) as caught:
            client.post(receiver.url, BODY, HEADERS)
    # `caught` still holds each frame: what is closed was closed, and not just forgotten.
    assert not connected or ended.wait(PATIENCE)
    assert watched == []
    assert caught.type is Unforeseen
    assert client.post(receiver.url, BODY, HEADERS).failure is None
    assert receiver.connections == (2 if connected else 1)


def test_the_same_on_a_kept_connection(listen: Listen, door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    receiver = listen(answer_then_wait_for_the_end(ended))
    client = door()
    assert client.post(receiver.url, BODY, HEADERS).failure is None
    monkeypatch.setattr(Answer, "begin", fail)
    with pytest.raises(Unforeseen):
        client.post(receiver.url, BODY, HEADERS)
    assert ended.wait(PATIENCE)
    assert receiver.connections == 1
