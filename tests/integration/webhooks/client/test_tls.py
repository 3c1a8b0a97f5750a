"""TLS is held to the name, and to the time."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from cerber.webhooks.client import Attempt, Failure
from tests.integration.webhooks.client.kit import BODY, HEADERS, SLACK, TOTAL, Listen, Open, Resolver, head, raw
from tests.support.authority import Authority
from tests.support.receivers import OK, Connection, Script, answering


@pytest.fixture
def post_tls(listen: Listen, door: Open, resolver: Resolver, authority: Authority) -> Callable[..., Attempt]:
    resolver.answers("shop.example.com", ["127.0.0.1"])
    client = door(ca_file=str(authority.ca_file))

    def post(*names: str, script: Script | None = None, **more: Any) -> Attempt:
        receiver = listen(script or answering(OK), tls=authority.server(*names, **more))
        return client.post(f"https://shop.example.com:{receiver.port}/hook", BODY, HEADERS)

    return post


def test_a_certificate_for_the_name_is_accepted(post_tls: Callable[..., Attempt]) -> None:
    assert post_tls("shop.example.com").failure is None
    assert post_tls("*.example.com").failure is None


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (["other.example.com"], {}, "mismatch"),
        (["127.0.0.1"], {}, "mismatch"),  # the address connected to is not what was asked for
        (["example.com"], {}, "mismatch"),
        (["shop.example.com"], {"days": -1}, "expired"),
        (["shop.example.com"], {"own": True}, "self-signed"),
    ],
)
def test_other_certificates_are_refused_before_anything_is_sent(
    post_tls: Callable[..., Attempt], names: list[str], more: dict[str, Any], reason: str
) -> None:
    seen: list[bytes] = []
    attempt = post_tls(*names, script=lambda connection: seen.append(connection.request()), **more)
    assert (attempt.status, attempt.failure) == (None, Failure.tls)
    assert reason in attempt.detail
    assert not any(seen)


def test_an_authority_that_nobody_knows_is_refused(listen: Listen, door: Open, authority: Authority) -> None:
    receiver = listen(answering(OK), tls=authority.server("127.0.0.1"))
    assert door().post(receiver.url, BODY, HEADERS).failure is Failure.tls
    assert door(ca_file=str(authority.ca_file)).post(receiver.url, BODY, HEADERS).failure is None


def test_the_name_is_sent_to_the_server(listen: Listen, door: Open, resolver: Resolver, authority: Authority) -> None:
    names: list[Any] = []
    context = authority.server("shop.example.com")
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    resolver.answers("shop.example.com", ["127.0.0.1"])
    receiver = listen(answering(OK), tls=context)
    client = door(ca_file=str(authority.ca_file))
    assert client.post(f"https://SHOP.example.com.:{receiver.port}/", BODY, HEADERS).failure is None
    assert client.post(f"https://shop.example.com:{receiver.port}/", BODY, HEADERS).failure is None
    assert names == ["shop.example.com"]  # and once: the connection is reused


def test_tls_that_isnt_spoken_is_a_failure(listen: Listen, door: Open) -> None:
    receiver = listen(raw(b"HTTP/1.1 200 OK\r\n\r\n"))
    receiver.script = lambda connection: connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    assert door().post(receiver.url.replace("http:", "https:"), BODY, HEADERS).failure is Failure.tls


def test_tls_that_doesnt_begin_ends_with_the_time_to_connect(listen: Listen, door: Open) -> None:
    url = listen(lambda connection: connection.hang()).url.replace("http:", "https:")
    attempt = door(connect_timeout=0.2).post(url, BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert 0.2 <= attempt.seconds < 0.2 + SLACK


def test_a_dripping_answer_within_tls_ends_at_the_deadline(listen: Listen, door: Open, authority: Authority) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.drip(head("200 OK", "X-Long: " + "x" * 1000))

    receiver = listen(script, tls=authority.server("127.0.0.1"))
    attempt = door(total_timeout=TOTAL, ca_file=str(authority.ca_file)).post(receiver.url, BODY, HEADERS)
    assert attempt.failure is Failure.too_slow
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_closing_within_tls_is_a_reset(post_tls: Callable[..., Attempt]) -> None:
    assert post_tls("shop.example.com", script=raw(b"HTTP/1.1 200 OK\r\n")).failure is Failure.reset


HELLO_REQUESTS = b"\x16\x03\x03\x00\x04\0\0\0\0" * 1000  # whole records, which OpenSSL skips without a word


def test_records_without_data_hold_no_thread(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        while True:
            connection.send(HELLO_REQUESTS)

    url = listen(script).url.replace("http:", "https:")
    attempt = door(connect_timeout=TOTAL).post(url, BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_records_without_data_that_drip_end_with_the_time_to_connect(listen: Listen, door: Open) -> None:
    url = listen(lambda connection: connection.drip(HELLO_REQUESTS)).url.replace("http:", "https:")
    attempt = door(connect_timeout=TOTAL).post(url, BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert TOTAL <= attempt.seconds < TOTAL + SLACK


def test_closing_while_tls_begins_is_a_failure(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        connection.sock.recv(65536)
        connection.send(HELLO_REQUESTS)

    url = listen(script).url.replace("http:", "https:")
    assert door().post(url, BODY, HEADERS).failure in (Failure.tls, Failure.reset)


def test_the_server_is_told_why_its_certificate_is_refused(listen: Listen, door: Open, authority: Authority) -> None:
    told: list[str] = []
    context = authority.server("other.example.com")

    def script(connection: Connection) -> None:
        try:
            connection.start_tls(context)
            connection.request()
        except ssl.SSLError as error:
            told.append(error.reason)

    receiver = listen(script)
    url = receiver.url.replace("http:", "https:")
    assert door(ca_file=str(authority.ca_file)).post(url, BODY, HEADERS).failure is Failure.tls
    receiver.close()  # waits for the script
    assert "ALERT" in told[0]


def test_a_body_that_ends_with_its_connection_is_read_to_the_end(post_tls: Callable[..., Attempt]) -> None:
    attempt = post_tls("shop.example.com", script=raw(head("200 OK", "Connection: close") + b"all of it"))
    assert (attempt.failure, attempt.answer) == (None, b"all of it")


def test_an_answer_to_nothing_is_not_taken_for_the_next_one_within_tls(
    listen: Listen, door: Open, authority: Authority
) -> None:
    body = b"a" * 9000  # longer than what is read at once: what follows stays behind in TLS
    unasked = head("500 Unasked", "Content-Length: 0")
    whole = head("200 OK", f"Content-Length: {len(body)}") + body + unasked * 400
    receiver = listen(answering(whole), tls=authority.server("127.0.0.1"))
    client = door(ca_file=str(authority.ca_file))
    assert [client.post(receiver.url, BODY, HEADERS).status for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 3
