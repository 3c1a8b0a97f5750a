"""Headers that stop, drip, never end, or are no HTTP at all."""

from __future__ import annotations

import socket

import pytest

from cerber.webhooks.client import Failure
from tests.integration.webhooks.client.kit import HEADERS, PATIENCE, SLACK, TOTAL, Listen, Open, Post, head, raw
from tests.support.receivers import Connection


def test_no_answer_in_time_is_a_timeout(listen: Listen, post_hurriedly: Post) -> None:
    attempt = post_hurriedly(listen(lambda connection: connection.hang()))
    assert (attempt.status, attempt.failure) == (None, Failure.timeout)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize(
    "part", ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_headers_that_stop_are_too_slow(listen: Listen, post_hurriedly: Post, part: str) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(part.encode())
        connection.hang()

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.too_slow)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_headers_that_drip_are_too_slow(listen: Listen, post_hurriedly: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.drip(head("200 OK", "X-Long: " + "x" * 1000))

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.too_slow)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize("line", [b"X: y\r\n", b"x" * 65536, b"HTTP/1.1 103 Early Hints\r\n\r\n", b"\0" * 4096])
def test_headers_without_end_are_cut(listen: Listen, post: Post, line: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 103 Early Hints\r\n" if line.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(line)

    attempt = post(listen(script))
    assert (attempt.status, attempt.failure) == (None, Failure.protocol)
    assert attempt.seconds < PATIENCE / 2


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nA: b\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
def test_closing_before_the_headers_are_complete_is_no_success(listen: Listen, post: Post, part: bytes) -> None:
    attempt = post(listen(raw(part)))
    assert (attempt.status, attempt.failure) == (None, Failure.reset)


def test_a_reset_is_a_failure(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.reset()

    assert post(listen(script)).failure is Failure.reset


def test_closing_at_once_is_a_failure(listen: Listen, post: Post) -> None:
    assert post(listen(lambda connection: None)).failure is Failure.reset


def test_an_answer_that_doesnt_wait_for_the_request_counts(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        connection.send(head("413 Too long", "Connection: close", "Content-Length: 0"))
        connection.sock.shutdown(socket.SHUT_WR)
        connection.hang()

    assert door().post(listen(script).url, b"x" * 16_000, HEADERS).status == 413


@pytest.mark.parametrize(
    "noise",
    [
        b"220 mail.example ESMTP\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"hello\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\r\n",
        b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 99 No\r\n\r\n", b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 0200 OK\r\n\r\n", b"HTTP/1.1 +200 OK\r\n\r\n",
        b"HTTP/1.1 2_00 OK\r\n\r\n", b"HTTP/1.1 20\xb2 OK\r\n\r\n", b"HTTP/1.1 020 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK\r\n\r\n", b"HTTP/1.x 200 OK\r\n\r\n",
        b"<html>" + b"x" * 5000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_speaks_no_http_is_a_failure(listen: Listen, post: Post, noise: bytes) -> None:
    attempt = post(listen(raw(noise)))
    assert (attempt.status, attempt.failure) == (None, Failure.protocol)
    assert attempt.detail.isprintable()
    assert len(attempt.detail) <= 200


def test_more_than_100_headers_are_a_failure(listen: Listen, post: Post) -> None:
    assert post(listen(raw(head("200 OK", *["X: y"] * 200)))).failure is Failure.protocol
