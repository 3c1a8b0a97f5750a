"""Connections kept for reuse."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fcntl import ioctl
from termios import TIOCOUTQ

import pytest

from cerber.webhooks.client import Failure, connections, pools
from tests.integration.webhooks.client.kit import BODY, HEADERS, PATIENCE, Listen, Open, Post, Resolver, head, raw
from tests.support.receivers import OK, Connection, Script, answering


def test_a_connection_is_reused(listen: Listen, post: Post) -> None:
    receiver = listen(answering(OK, head("404 No", "Content-Length: 0"), head("204 Fine"), OK))
    assert [post(receiver).status for _ in range(5)] == [200, 404, 204, 200, 200]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
        head("100 Continue") + OK,
        head("200 OK", "Content-Length: 65536") + b"a" * 65536,
        head("204 Fine", "Transfer-Encoding: chunked"),
        head("204 Fine", "Content-Length: 10"),
    ],
)
def test_a_connection_whose_answer_came_whole_is_reused(listen: Listen, post: Post, answer: bytes) -> None:
    receiver = listen(answering(answer))
    assert [post(receiver).failure for _ in range(3)] == [None, None, None]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "Content-Length: 65537") + b"a" * 65537,
        head("200 OK", "Connection: close", "Content-Length: 0"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_other_connections_are_not_reused(listen: Listen, post: Post, answer: bytes) -> None:
    receiver = listen(answering(answer))
    assert [post(receiver).status for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 3


def test_a_connection_with_a_part_of_an_answer_to_come_is_not_reused(listen: Listen, post: Post) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK", "Content-Length: 65541") + b"a" * 65536)
        if connection.request():
            connection.send(b"later" + OK)

    receiver = listen(script)
    assert [post(receiver).status, post(receiver).status, receiver.connections] == [200, 200, 2]


def unread(sock: socket.socket) -> bool:
    """Whether something that was sent has not arrived at the other side yet."""
    return ioctl(sock, TIOCOUTQ, b"\0" * 4) != b"\0" * 4


def test_an_answer_to_nothing_is_not_taken_for_the_next_one(listen: Listen, door: Open) -> None:
    unasked = head("500 Unasked", "Content-Length: 0")
    answered, arrived = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(OK + unasked)
        connection.request()
        connection.send(OK)
        answered.wait(5)
        connection.send(unasked)
        while unread(connection.sock):
            time.sleep(0.01)
        arrived.set()
        connection.hang()

    receiver = listen(script)
    client = door()
    assert [client.post(receiver.url, BODY, HEADERS).status for _ in range(2)] == [200, 200]
    answered.set()
    assert arrived.wait(PATIENCE)
    assert client.post(receiver.url, BODY, HEADERS).status == 200
    assert receiver.connections == 2


def test_a_connection_is_not_shared_between_endpoints(listen: Listen, door: Open, resolver: Resolver) -> None:
    receiver = listen(answering(OK))
    client = door()
    for name in ("a.example.com", "b.example.com"):
        resolver.answers(name, ["127.0.0.1"])
        client.post(f"http://{name}:{receiver.port}/", BODY, HEADERS)
    assert receiver.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_replaced(listen: Listen, post: Post) -> None:
    closed = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        connection.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    receiver = listen(script)
    for _ in range(3):
        closed.clear()
        assert post(receiver).failure is None
        assert closed.wait(5)
    assert (receiver.connections, len(receiver.requests)) == (3, 3)


def second_request(then: Script) -> Script:
    """Answers the first request on the first connection, then does this with the second; other connections answer."""

    def script(connection: Connection) -> None:
        first = connection.receiver.connections == 1
        connection.request()
        connection.send(OK)
        connection.request()
        if first:
            then(connection)
        else:
            connection.send(OK)

    return script


@pytest.mark.parametrize("then", [lambda connection: None, lambda connection: connection.reset()])
def test_a_kept_connection_that_died_is_no_failure_of_the_endpoint(listen: Listen, post: Post, then: Script) -> None:
    receiver = listen(second_request(then))
    assert [post(receiver).failure, post(receiver).failure] == [None, None]
    assert receiver.connections == 2
    assert len(receiver.requests) == 3  # the receiver may have seen the second one twice


def test_an_answer_that_broke_off_is_not_asked_for_again(listen: Listen, post: Post) -> None:
    receiver = listen(second_request(lambda connection: connection.send(b"H")))
    assert [post(receiver).failure, post(receiver).failure] == [None, Failure.reset]
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_kept_connection_that_hangs_is_a_timeout(listen: Listen, post_hurriedly: Post) -> None:
    receiver = listen(second_request(lambda connection: connection.hang()))
    assert [post_hurriedly(receiver).failure, post_hurriedly(receiver).failure] == [None, Failure.timeout]
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_new_connection_that_dies_is_not_tried_again(listen: Listen, post: Post) -> None:
    receiver = listen(raw(b""))
    assert post(receiver).failure is Failure.reset
    assert (receiver.connections, len(receiver.requests)) == (1, 1)


def test_the_guard_holds_for_the_connection_after_a_dead_one(
    listen: Listen, door: Open, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = listen(second_request(lambda connection: None))
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda sock, address: real(sock, ("127.0.0.1", address[1])))
    resolver.answers("shop.example.com", ["8.8.8.8"], ["127.0.0.1"])
    client = door(allow_private=False)
    url = f"http://shop.example.com:{receiver.port}/"
    assert client.post(url, BODY, HEADERS).failure is None
    assert client.post(url, BODY, HEADERS).failure is Failure.blocked_address
    assert receiver.connections == 1


def test_a_connection_is_used_for_a_minute_at_most(
    listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = listen(answering(OK))
    post(receiver)
    monkeypatch.setattr(connections, "SECONDS", 0.0)
    post(receiver)
    assert receiver.connections == 2


def test_connections_kept_are_bounded_over_all_endpoints(
    listen: Listen, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST", 2)
    receivers = [listen(answering(OK)) for _ in range(3)]
    for receiver in (*receivers, receivers[2], receivers[1], receivers[0]):
        assert post(receiver).failure is None
    assert [receiver.connections for receiver in receivers] == [2, 1, 1]


@pytest.mark.slow
def test_many_threads_share_one_door(listen: Listen, door: Open) -> None:
    receivers = [listen(answering(OK)) for _ in range(4)]
    client = door()
    with ThreadPoolExecutor(32) as pool:
        attempts = list(pool.map(lambda n: client.post(receivers[n % 4].url, str(n).encode(), HEADERS), range(800)))
    assert [attempt for attempt in attempts if attempt.failure] == []
    bodies = [request.partition(b"\r\n\r\n")[2] for receiver in receivers for request in receiver.requests]
    assert sorted(map(int, bodies)) == list(range(800))
    assert sum(receiver.connections for receiver in receivers) <= 128
