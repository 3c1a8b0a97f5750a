"""A complete header block with a 2xx is success, whatever the body does."""

from __future__ import annotations

import pytest

from cerber.webhooks.client.client import ANSWER_KEPT
from tests.integration.webhooks.client.kit import BODY, HEADERS, PATIENCE, SLACK, TOTAL, Listen, Open, Post, head, raw
from tests.support.receivers import Connection

BODIES = {
    "cut": head("200 OK", "Content-Length: 100") + b"cut",
    "without length": head("200 OK") + b"cut",
    "conflicting lengths": head("200 OK", "Content-Length: 3", "Content-Length: 7") + b"cut",
    "absurd length": head("200 OK", "Content-Length: " + "9" * 5000) + b"cut",
    "no length": head("200 OK", "Content-Length: many") + b"cut",
    "cut chunk": head("200 OK", "Transfer-Encoding: chunked") + b"64\r\ncut",
    "broken chunk": head("200 OK", "Transfer-Encoding: chunked") + b"3\r\ncut\r\nzz\r\n",
    "chunk of less than nothing": head("200 OK", "Transfer-Encoding: chunked") + b"-ffffffffffffffffffff\r\n\r\n",
    "chunks that never end": head("200 OK", "Transfer-Encoding: chunked") + b"3\r\ncut\r\n",
    "unknown coding": head("200 OK", "Transfer-Encoding: gzip, chunked") + b"cut",
    "broken headers": head("200 OK", "no header at all", "Content-Length: 3") + b"cut",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_broken_body_doesnt_undo_success(listen: Listen, post: Post, name: str) -> None:
    attempt = post(listen(raw(BODIES[name])))
    assert (attempt.status, attempt.failure) == (200, None)
    assert attempt.answer.endswith(b"cut") or name in ("broken headers", "chunk of less than nothing")


def test_a_reset_body_doesnt_undo_success(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", "Content-Length: 100") + b"cut")
        connection.reset()

    assert post(listen(script)).failure is None


@pytest.mark.parametrize("headers", [["Content-Length: 1000"], ["Transfer-Encoding: chunked"], []])
def test_a_dripping_body_ends_at_the_deadline(listen: Listen, post_hurriedly: Post, headers: list[str]) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", *headers) + (b"3e8\r\n" if "chunked" in str(headers) else b""))
        connection.drip(b"d" * 1000)

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure) == (200, None)
    assert attempt.answer.startswith(b"ddd")
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.parametrize("headers", [["Content-Length: 10737418240"], ["Transfer-Encoding: chunked"], []])
def test_a_huge_body_is_cut_early(listen: Listen, post: Post, headers: list[str]) -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", *headers))
        while True:
            connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)

    attempt = post(listen(script))
    assert (attempt.status, attempt.failure, len(attempt.answer)) == (200, None, ANSWER_KEPT)
    assert attempt.seconds < PATIENCE / 2
    assert sum(sent) < 20_000_000  # what fits into the buffers of the system


@pytest.mark.parametrize("headers", [["Content-Length: 1000"], ["Transfer-Encoding: chunked"], []])
def test_hanging_after_the_headers_doesnt_undo_success(
    listen: Listen, post_hurriedly: Post, headers: list[str]
) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", *headers))
        connection.hang()

    attempt = post_hurriedly(listen(script))
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, b"")
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


@pytest.mark.slow
def test_a_byte_a_second_ends_at_the_deadline(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", "Content-Length: 1000"))
        connection.drip(b"d" * 1000, seconds=1.0)

    attempt = door(total_timeout=2.5).post(listen(script).url, BODY, HEADERS)
    assert (attempt.status, attempt.failure, attempt.answer) == (200, None, b"ddd")
    assert 2.5 <= attempt.seconds < 2.5 + SLACK
