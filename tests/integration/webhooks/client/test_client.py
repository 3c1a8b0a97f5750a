"""What is sent: the request that was asked for, and nothing of this machine's own."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from cerber.config import ROOT
from cerber.webhooks.client import client as client_module
from tests.integration.webhooks.client.kit import BODY, HEADERS, Listen, Open, Post, head
from tests.support.receivers import OK, answering


def test_the_request_is_what_was_asked_for(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK))
    attempt = post(receiver)
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, b"ok")
    lines, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    assert set(lines.decode().split("\r\n")) == {
        "POST /hook HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}",
        f"User-Agent: {client_module.USER_AGENT}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        f"Signature: {HEADERS['Signature']}",
        f"Content-Length: {len(BODY)}",
    }


def test_headers_and_body_leave_in_one_piece(listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    real = socket.socket.sendall
    receiver = listen(answering(OK))

    def sendall(sock: socket.socket, data: bytes) -> None:
        if sock.getpeername()[1] == receiver.port:
            sent.append(bytes(data))
        real(sock, data)

    monkeypatch.setattr(socket.socket, "sendall", sendall)
    assert post(receiver).failure is None
    assert sent == receiver.requests


def test_path_and_query_are_sent_as_they_are(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    for target in ("/", "//a/../b", "/a%2fb%C3%A9?x=%20&y[]=1&z=/?", "/?x"):
        assert door().post(f"http://127.0.0.1:{receiver.port}{target}", BODY, HEADERS).failure is None
        assert receiver.requests[-1].startswith(f"POST {target} HTTP/1.1\r\n".encode())


def test_the_user_agent_names_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"Cerber/{project['project']['version']}" == client_module.USER_AGENT


def test_a_header_that_would_break_the_request_is_refused(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    with pytest.raises(ValueError, match="header"):
        door().post(receiver.url, BODY, {"webhook-id": "1\r\nX: y"})
    assert receiver.requests == []


def test_the_environment_changes_nothing(
    listen: Listen, door: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing"))
    receiver = listen(answering(OK))
    assert door().post(receiver.url, BODY, HEADERS).failure is None
    assert b"authorization" not in receiver.requests[0].lower()


def test_no_cookie_is_kept(listen: Listen, post: Post) -> None:
    receiver = listen(answering(head("200 OK", "Set-Cookie: a=b", "Content-Length: 0")))
    assert post(receiver).failure is post(receiver).failure is None
    assert b"cookie" not in receiver.requests[1].lower()
