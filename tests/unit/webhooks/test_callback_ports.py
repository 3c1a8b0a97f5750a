"""Which ports a `callback_url` may have (contract section 6)."""

from __future__ import annotations

import pytest

from cerber.webhooks.callback_urls import parse_callback_url

FETCH_BAD = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135
    137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995
    1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
DATABASES_CACHES_MAIL = "1433 1521 3306 33060 5432 6379 6380 9042 9200 9300 5984 11211 27017 5672 9092 2181 2375 2525"
BELOW_1024 = "81 88 442 444 591 800 1023"
OPEN = "80 443 1024 3000 4000 4443 5000 5555 7777 8000 8001 8008 8080 8081 8443 8888 9000 9443 10000 49152 65535"


def url(port: str) -> str:
    return f"https://shop.example.com:{port}/hook"


@pytest.mark.parametrize("port", (FETCH_BAD + DATABASES_CACHES_MAIL + " " + BELOW_1024).split())
def test_a_port_of_another_service_is_refused_and_lifted_for_development(port: str) -> None:
    with pytest.raises(ValueError, match="must have the port 80, 443"):
        parse_callback_url(url(port), own_host=None, allow_private=False)
    assert parse_callback_url(url(port), own_host=None, allow_private=True).port == int(port)


@pytest.mark.parametrize("port", OPEN.split())
def test_a_port_of_a_web_server_is_taken(port: str) -> None:
    assert parse_callback_url(url(port), own_host=None, allow_private=False).port == int(port)


def test_leading_zeros_hide_no_port() -> None:
    with pytest.raises(ValueError, match="must have the port"):
        parse_callback_url(url("00006379"), own_host=None, allow_private=False)
