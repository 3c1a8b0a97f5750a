"""Receivers, doors and a resolver, each gone with its test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cerber.webhooks.client import Client
from tests.integration.webhooks.client.kit import BODY, HEADERS, PATIENCE, TOTAL, Listen, Open, Post, Resolver
from tests.support.authority import Authority
from tests.support.receivers import Receiver, Script


@pytest.fixture
def listen() -> Iterator[Listen]:
    receivers: list[Receiver] = []

    def start(script: Script, **more: Any) -> Receiver:
        receivers.append(Receiver(script, **more))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def door() -> Iterator[Open]:
    doors: list[Client] = []

    def start(allow_private: bool = True, **more: Any) -> Client:
        doors.append(Client(allow_private, **{"connect_timeout": PATIENCE, "total_timeout": PATIENCE, **more}))
        return doors[-1]

    yield start
    for client in doors:
        client.close()


@pytest.fixture
def post(door: Open) -> Post:
    client = door()
    return lambda receiver: client.post(receiver.url, BODY, HEADERS)


@pytest.fixture
def post_hurriedly(door: Open) -> Post:
    client = door(total_timeout=TOTAL)
    return lambda receiver: client.post(receiver.url, BODY, HEADERS)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections go that leave the machine: to the list, and nowhere else."""
    made: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        made.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return made
