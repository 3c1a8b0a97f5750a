"""Whatever bytes a receiver sends, and whatever its URL, an attempt comes of it and no exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerber.webhooks.client import Failure
from tests.integration.webhooks.client.kit import BODY, HEADERS, Listen, Open, Post, Resolver, head, raw
from tests.support.authority import Authority
from tests.support.receivers import OK, Connection, answering

STARTS = [
    b"",
    b"HTTP/1.1 ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x; boundary*",
    b"HTTP/1.1 200 OK\r\nContent-Length: ",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nRetry-After:",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length:",
    head("200 OK", "Transfer-Encoding: chunked"),
    head("200 OK", "Transfer-Encoding: chunked") + b"-",
    head("200 OK", "Transfer-Encoding: chunked") + b"2\r\nok\r\n",
]


def test_a_whole_answer_of_any_bytes_is_an_attempt_and_no_exception(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK))

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(STARTS),
        st.binary() | st.text("HTP/1.023: \r\n;=*'\"-,a\0").map(str.encode),
    )
    def answer_with(start: bytes, rest: bytes) -> None:
        receiver.script = raw(start + rest)
        attempt = post(receiver)
        assert (attempt.status is None) == (attempt.failure in (Failure.reset, Failure.protocol))
        assert attempt.detail.isprintable()

    answer_with()


def test_any_bytes_in_any_pieces_are_an_attempt_however_they_end(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK))

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(STARTS), st.lists(st.binary(min_size=1), max_size=4), st.booleans(), st.booleans())
    def answer_with(start: bytes, pieces: list[bytes], is_kept: bool, resets: bool) -> None:
        def script(connection: Connection) -> None:
            if is_kept:
                connection.request()
                connection.send(OK)
            connection.request()
            for piece in (start, *pieces):
                connection.send(piece)
            if resets:
                connection.reset()

        receiver.script = script
        if is_kept:
            post(receiver)
        attempt = post(receiver)
        assert (attempt.status is None) == (attempt.failure in (Failure.reset, Failure.protocol))

    answer_with()


# ssl leaves a socket that was reset before TLS began to the garbage collector (CPython's `SSLSocket._create`).
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning", "ignore:unclosed")
def test_any_bytes_of_a_proxy_are_an_attempt_and_no_exception(listen: Listen, door: Open) -> None:
    proxy = listen(answering(OK))
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    starts = [
        b"",
        b"HTTP/1.1 ",
        b"HTTP/1.1 200 OK\r\n",
        head("200 OK"),
        b"HTTP/1.0 502 Bad",
        head("200 OK") + b"\x16\x03\x03",
    ]
    label = "a" * 63
    names = ["shop.example.com", "a_b.c-d.e", "xn--a.com", "8.8.8.8", "[2a00::1]", f"{label}.{label}.{label}.com"]
    failures = (Failure.own_side, Failure.unreachable, Failure.reset, Failure.tls)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(starts), st.binary(), st.sampled_from(names))
    def answer_with(start: bytes, rest: bytes, name: str) -> None:
        proxy.script = raw(start + rest)
        assert client.post(f"https://{name}/", BODY, HEADERS).failure in failures

    answer_with()


def test_any_bytes_for_a_handshake_are_an_attempt_and_no_exception(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    url = receiver.url.replace("http:", "https:")
    client = door()

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from([b"", b"\x16\x03\x03", b"\x15\x03\x03\x00\x02", b"\x16\x03\x03\x00\x30\x02"]), st.binary())
    def begin_with(start: bytes, rest: bytes) -> None:
        def script(connection: Connection) -> None:
            connection.sock.recv(65536)
            connection.send(start + rest)

        receiver.script = script
        assert client.post(url, BODY, HEADERS).failure in (Failure.tls, Failure.reset)

    begin_with()


def test_any_bytes_within_tls_are_an_attempt_and_no_exception(
    listen: Listen, door: Open, authority: Authority
) -> None:
    receiver = listen(answering(OK), tls=authority.server("127.0.0.1"))
    client = door(ca_file=str(authority.ca_file))

    @settings(max_examples=50, deadline=None)
    @given(st.sampled_from(STARTS), st.binary())
    def answer_with(start: bytes, rest: bytes) -> None:
        receiver.script = raw(start + rest)
        attempt = client.post(receiver.url, BODY, HEADERS)
        assert (attempt.status is None) == (attempt.failure in (Failure.reset, Failure.protocol))

    answer_with()


def test_any_url_that_get_wallet_takes_is_an_attempt_and_no_exception(
    door: Open, resolver: Resolver, connects: list[Any]
) -> None:
    client = door(allow_private=False)
    resolver.default = ["8.8.8.8"]

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(["http", "https"]),
        st.sampled_from(["shop.example.com", "a_b.c-.d.e", "xn--a.com", "8.8.8.8", "[2a00::1]"])
        | st.from_regex(r"[a-z0-9_.-]{1,70}\.com", fullmatch=True),
        st.sampled_from(["", ":", ":8080", ":00443"]),
        st.text('abc/?.;:@%25[]&=\\#|"é ', max_size=30),
    )
    def post_to(scheme: str, host: str, port: str, rest: str) -> None:
        attempt = client.post(f"{scheme}://{host}{port}/{rest}", BODY, HEADERS)
        assert attempt.failure in (Failure.refused, Failure.blocked_address)

    post_to()
    assert connects
