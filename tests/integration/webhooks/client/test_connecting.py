"""Connections that don't open, and whose fault that is."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cerber.webhooks.client import Failure
from tests.integration.webhooks.client.kit import BODY, HEADERS, SLACK, Listen, Open, Resolver
from tests.support.authority import Authority
from tests.support.receivers import OK, answering


def test_a_closed_port_refuses(door: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    attempt = door().post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
    assert (attempt.failure, attempt.detail) == (Failure.refused, f"127.0.0.1 port {port}: connection refused")


@contextmanager
def full_queue(host: str, port: int = 0) -> Iterator[int]:
    """The port of a server that gives new connections no answer at all."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_connection_that_never_opens_is_a_timeout(door: Open) -> None:
    with full_queue("127.0.0.1") as port:
        attempt = door(connect_timeout=0.2).post(f"http://127.0.0.1:{port}/", BODY, HEADERS)
    assert attempt.failure is Failure.timeout
    assert 0.2 <= attempt.seconds < 0.2 + SLACK


def test_a_dead_address_leaves_time_for_the_next(
    listen: Listen, door: Open, resolver: Resolver, authority: Authority
) -> None:
    receiver = listen(answering(OK), tls=authority.server("shop.example.com"))
    resolver.answers("shop.example.com", ["127.0.0.2", "127.0.0.1"])
    client = door(connect_timeout=1.6, ca_file=str(authority.ca_file))
    with full_queue("127.0.0.2", receiver.port):
        attempt = client.post(f"https://shop.example.com:{receiver.port}/", BODY, HEADERS)
    assert attempt.failure is None
    assert 0.8 <= attempt.seconds < 1.6


def test_the_next_address_is_tried(listen: Listen, door: Open, resolver: Resolver) -> None:
    receiver = listen(answering(OK))
    resolver.answers("shop.example.com", ["::1", "127.0.0.2", "127.0.0.1"])
    assert door().post(f"http://shop.example.com:{receiver.port}/", BODY, HEADERS).failure is None
    assert f"Host: shop.example.com:{receiver.port}".encode() in receiver.requests[0]


@pytest.mark.parametrize(
    ("number", "address", "failure"),
    [
        (errno.EMFILE, "8.8.8.8", Failure.own_side),
        (errno.ENETUNREACH, "8.8.8.8", Failure.own_side),
        (errno.ENETUNREACH, "2606:4700::1111", Failure.unreachable),
        (errno.EADDRNOTAVAIL, "8.8.8.8", Failure.own_side),
        (errno.EADDRNOTAVAIL, "2606:4700::1111", Failure.unreachable),
        (errno.EHOSTUNREACH, "8.8.8.8", Failure.unreachable),
        (errno.EHOSTDOWN, "8.8.8.8", Failure.unreachable),
        (errno.ENOPROTOOPT, "8.8.8.8", Failure.unreachable),
        (errno.EPROTO, "2606:4700::1111", Failure.unreachable),
        (errno.EPERM, "8.8.8.8", Failure.own_side),
        (errno.ETIMEDOUT, "8.8.8.8", Failure.timeout),
        (errno.ECONNRESET, "8.8.8.8", Failure.reset),
    ],
)
def test_what_is_ours_is_told_from_what_is_theirs(
    door: Open, monkeypatch: pytest.MonkeyPatch, number: int, address: str, failure: Failure
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(socket.socket, "connect", fail)
    host = f"[{address}]" if ":" in address else address
    assert door(allow_private=False).post(f"http://{host}/", BODY, HEADERS).failure is failure


def test_a_net_that_a_router_on_the_way_calls_unreachable_is_theirs(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(sock: socket.socket, _: object) -> None:
        if sock.type is socket.SOCK_STREAM:
            raise OSError(errno.ENETUNREACH, "no")

    monkeypatch.setattr(socket.socket, "connect", connect)  # but there is a route: UDP connects
    for host in ("8.8.8.8", "[2606:4700::1111]"):
        attempt = door(allow_private=False).post(f"http://{host}/", BODY, HEADERS)
        assert attempt.failure is Failure.unreachable


def test_ours_are_the_failures_that_tell_nothing_of_the_endpoint() -> None:
    assert {failure for failure in Failure if failure.ours} == {Failure.own_dns, Failure.own_side, Failure.unforeseen}
