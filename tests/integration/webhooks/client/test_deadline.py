"""The watchdog: it shuts a socket down when its time is over, and no other."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cerber.webhooks.client.deadline import Watchdog
from tests.integration.webhooks.client.kit import BODY, HEADERS, PATIENCE, SLACK, TOTAL, Listen, Open, head
from tests.support.receivers import OK, Connection, answering


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    here.settimeout(PATIENCE)
    with here, there:
        yield here, there


def soon(seconds: float = TOTAL) -> float:
    return time.monotonic() + seconds


def watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "watchdog"]


def test_who_waits_on_a_socket_is_woken_at_its_deadline(
    watchdog: Watchdog, pair: tuple[socket.socket, socket.socket]
) -> None:
    start = time.monotonic()
    watch = watchdog.watch(pair[0], soon())
    assert pair[0].recv(1) == b""
    assert TOTAL <= time.monotonic() - start < TOTAL + SLACK
    assert watch.is_over
    watchdog.release(watch)


def test_the_nearest_deadline_comes_first_whenever_it_was_set(
    watchdog: Watchdog, pair: tuple[socket.socket, socket.socket]
) -> None:
    far = watchdog.watch(pair[1], soon(PATIENCE))
    near = watchdog.watch(pair[0], soon(0.05))
    assert pair[0].recv(1) == b""
    assert (near.is_over, far.is_over) == (True, False)
    for watch in (near, far):
        watchdog.release(watch)


def test_a_socket_that_was_released_is_left_alone(
    watchdog: Watchdog, pair: tuple[socket.socket, socket.socket]
) -> None:
    watch = watchdog.watch(pair[0], soon(0.05))
    watchdog.release(watch)
    time.sleep(0.2)
    pair[1].sendall(b"x")
    assert (pair[0].recv(1), watch.is_over) == (b"x", False)


def test_a_descriptor_that_was_given_out_again_is_left_alone(watchdog: Watchdog) -> None:
    first, other = socket.socketpair()
    watch = watchdog.watch(first, soon(0.1))
    number = first.fileno()
    first.close()
    later, there = socket.socketpair()
    assert number in (later.fileno(), there.fileno())
    with other, later, there:
        time.sleep(0.3)
        assert watch.is_over
        there.sendall(b"x")
        assert later.recv(1) == b"x"
    watchdog.release(watch)


def test_the_thread_ends_with_the_last_socket_after_closing(pair: tuple[socket.socket, socket.socket]) -> None:
    watchdog = Watchdog()
    before = watchdogs()
    watch = watchdog.watch(pair[0], soon(PATIENCE))
    [thread] = set(watchdogs()) - set(before)
    assert thread.daemon
    watchdog.close()
    thread.join(0.1)
    assert thread.is_alive()
    watchdog.release(watch)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_socket_is_watched_after_closing_too(pair: tuple[socket.socket, socket.socket]) -> None:
    watchdog = Watchdog()
    watchdog.close()
    watch = watchdog.watch(pair[0], soon(0.05))
    assert pair[0].recv(1) == b""
    watchdog.release(watch)


def test_an_idle_watchdog_sleeps(watchdog: Watchdog, pair: tuple[socket.socket, socket.socket]) -> None:
    watchdog.release(watchdog.watch(pair[0], soon(0.05)))
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_a_kept_connection_outlives_the_deadline_of_the_call_before(listen: Listen, door: Open) -> None:
    receiver = listen(answering(OK))
    client = door(total_timeout=TOTAL)
    assert client.post(receiver.url, BODY, HEADERS).failure is None
    time.sleep(TOTAL + 0.1)
    assert client.post(receiver.url, BODY, HEADERS).failure is None
    assert receiver.connections == 1


def test_a_deadline_that_has_passed_ends_the_reading_though_bytes_are_there(listen: Listen, door: Open) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(head("200 OK")[:-2] + b"X: ")
        while not connection.receiver.over.wait(0.001):
            connection.send(b"more and more" * 8)

    attempt = door(total_timeout=TOTAL).post(listen(script).url, BODY, HEADERS)
    assert TOTAL <= attempt.seconds < TOTAL + SLACK
    assert attempt.failure == "too_slow"
