"""What the tests of the door out share: its words, and the two ways that receivers answer most."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from cerber.webhooks.client import Attempt, Client
from tests.support.receivers import Connection, Receiver, Script

BODY = b'{"status": "confirm", "payment_id": "3636363", "confirm_sum": "500"}'
HEADERS = {"Content-Type": "application/json", "Signature": "ab" * 32}

PATIENCE = 10.0  # seconds; for what is to end by itself
TOTAL = 0.3  # for what is to be cut
SLACK = 1.5  # for a machine under load

Listen = Callable[..., Receiver]
Post = Callable[[Receiver], Attempt]
Open = Callable[..., Client]


class Resolver:
    """Stands for the machine's resolver: answers of addresses, errors or functions, the last one again and again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.names: dict[str, list[Any]] = {}
        self.default: list[str] | None = None
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def answers(self, name: str, *answers: Any) -> None:
        self.names[name] = list(answers)

    def _look_up(self, host: str, port: int | None, **more: Any) -> Any:
        self.asked.append(host)
        turns = self.names[host] if self.default is None else [self.default]
        answer = turns.pop(0) if len(turns) > 1 else turns[0]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return [found for address in answer for found in self._real(address, port, **more)]


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def raw(answer: bytes) -> Script:
    """Answers one request with these bytes and closes."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(answer)

    return script
