"""The guard: nothing inside is connected to, however it is spelled or looked up (contract section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from cerber.webhooks.callback_urls import parse_callback_url
from cerber.webhooks.client import Failure
from tests.integration.webhooks.client.kit import BODY, HEADERS, Listen, Open, Resolver
from tests.support.inside import SPELLINGS
from tests.support.receivers import OK, answering

INSIDE = """
    127.0.0.1 10.0.0.1 169.254.169.254 168.63.129.16 100.100.100.200 0.0.0.0 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1
    2002:7f00:1:: fd00:ec2::254 fe80::1 fec0::1 ::127.0.0.1
"""


def test_the_list_of_spellings_is_as_long_as_it_has_to_be() -> None:
    assert len(set(SPELLINGS)) >= 80


@pytest.mark.parametrize("url", SPELLINGS)
def test_each_spelling_is_refused_in_get_wallet_and_at_the_door(
    door: Open, resolver: Resolver, connects: list[Any], url: str
) -> None:
    with pytest.raises(ValueError, match=r"must|looks like"):
        parse_callback_url(url, own_host=None, allow_private=False)
    attempt = door(allow_private=False).post(url, BODY, HEADERS)
    assert (attempt.status, attempt.failure) == (None, Failure.blocked_address)
    assert (connects, resolver.asked) == ([], [])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_an_inside_url_is_blocked_and_nothing_connected(listen: Listen, door: Open, host: str) -> None:
    receiver = listen(answering(OK))
    attempt = door(allow_private=False).post(f"http://{host}:{receiver.port}/", BODY, HEADERS)
    assert (attempt.status, attempt.failure) == (None, Failure.blocked_address)
    assert receiver.connections == 0


@pytest.mark.parametrize("address", INSIDE.split())
def test_a_name_that_leads_inside_is_blocked(
    door: Open, resolver: Resolver, connects: list[Any], address: str
) -> None:
    resolver.answers(
        "shop.example.com", [address], ["8.8.8.8", address], [address, "8.8.8.8"], ["2606:4700::1", address]
    )
    client = door(allow_private=False)
    for _ in range(4):
        assert client.post("https://shop.example.com/", BODY, HEADERS).failure is Failure.blocked_address
    assert connects == []


def test_the_checked_address_is_the_connected_one(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["8.8.8.8"], ["127.0.0.1"])
    client = door(allow_private=False)
    assert client.post("http://shop.example.com:8080/", BODY, HEADERS).failure is Failure.refused
    assert connects == [("8.8.8.8", 8080)]
    assert resolver.asked == ["shop.example.com"]
    assert client.post("http://shop.example.com:8080/", BODY, HEADERS).failure is Failure.blocked_address
    assert connects == [("8.8.8.8", 8080)]


def test_all_addresses_connected_are_checked_ones(door: Open, resolver: Resolver, connects: list[Any]) -> None:
    resolver.answers("shop.example.com", ["2606:4700::1111", "8.8.8.8", "1.1.1.1", "9.9.9.9", "8.8.4.4", "1.0.0.1"])
    assert door(allow_private=False).post("https://shop.example.com/", BODY, HEADERS).failure is Failure.refused
    assert connects == [("2606:4700::1111", 443), ("8.8.8.8", 443), ("1.1.1.1", 443), ("9.9.9.9", 443)]


def test_an_inside_address_is_blocked_after_many_public_ones(
    door: Open, resolver: Resolver, connects: list[Any]
) -> None:
    resolver.answers("shop.example.com", [f"8.8.8.{n}" for n in range(50)] + ["10.0.0.1"])
    assert (
        door(allow_private=False).post("http://shop.example.com/", BODY, HEADERS).failure is Failure.blocked_address
    )
    assert connects == []
