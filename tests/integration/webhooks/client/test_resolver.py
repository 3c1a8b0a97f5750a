"""Names that don't exist, change, or are never answered for."""

from __future__ import annotations

import errno
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cerber.webhooks.client import Failure
from cerber.webhooks.client import resolver as resolver_module
from tests.integration.webhooks.client.kit import BODY, HEADERS, SLACK, TOTAL, Open, Resolver


def test_a_name_that_doesnt_exist_is_a_failure_of_the_endpoint(door: Open, resolver: Resolver) -> None:
    resolver.answers("shop.example.com", socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    attempt = door().post("http://shop.example.com/", BODY, HEADERS)
    assert (attempt.failure, attempt.detail) == (Failure.dns, "shop.example.com has no address")


def test_a_silent_resolver_is_ours_until_it_answers_for_others(
    door: Open, resolver: Resolver, connects: list[Any]
) -> None:
    resolver.answers("silent.example.com", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    resolver.answers("shop.example.com", ["8.8.8.8"])
    client = door()
    assert client.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.own_dns
    assert client.post("http://shop.example.com/", BODY, HEADERS).failure is Failure.refused
    assert client.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.dns
    resolver.answers("silent.example.com", ["8.8.8.8"], socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
    assert client.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.refused
    assert client.post("http://silent.example.com/", BODY, HEADERS).failure is Failure.own_dns
    assert len(connects) == 2


def test_a_hanging_lookup_ends_at_the_deadline_and_holds_one_thread(door: Open, resolver: Resolver) -> None:
    release = threading.Event()
    resolver.answers("hangs.example.com", lambda: release.wait(10) and ["127.0.0.1"])
    client = door(total_timeout=TOTAL)
    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(lambda _: client.post("http://hangs.example.com/", BODY, HEADERS), range(8)))
    assert {attempt.failure for attempt in attempts} == {Failure.own_dns}
    assert all(TOTAL <= attempt.seconds < TOTAL + SLACK for attempt in attempts)
    assert resolver.asked == ["hangs.example.com"]
    release.set()


def test_a_lookup_that_is_over_is_asked_anew(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["8.8.8.8"], ["9.9.9.9"])
    client = door()
    client.post("http://shop.example.com/", BODY, HEADERS)
    client.post("http://shop.example.com/", BODY, HEADERS)
    assert connects == [("8.8.8.8", 80), ("9.9.9.9", 80)]


def test_a_machine_without_threads_is_a_failure_of_ours(door: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    assert door().post("http://shop.example.com/", BODY, HEADERS).failure is Failure.own_dns


def test_a_resolver_that_gets_no_socket_is_ours(door: Open, resolver: Resolver) -> None:
    for number in (errno.EMFILE, errno.ECONNREFUSED, errno.EHOSTUNREACH):
        resolver.answers("shop.example.com", OSError(number, "no"))
        assert door().post("http://shop.example.com/", BODY, HEADERS).failure is Failure.own_dns


def test_names_remembered_as_silent_are_bounded(
    door: Open, resolver: Resolver, connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "MOST_SILENT", 3)
    client = door()
    for number in range(10):
        resolver.answers(f"{number}.example.com", socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
        client.post(f"http://{number}.example.com/", BODY, HEADERS)
    resolver.answers("shop.example.com", ["8.8.8.8"])
    assert client.post("http://shop.example.com/", BODY, HEADERS).failure is Failure.refused
    silent = {n: client.post(f"http://{n}.example.com/", BODY, HEADERS).failure for n in (9, 8, 7, 6, 0)}
    assert silent == dict.fromkeys((9, 8, 7), Failure.dns) | dict.fromkeys((6, 0), Failure.own_dns)
