"""Contract section 6: which addresses are public, and how hosts spell them."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.addresses import is_public, literal_address

INSIDE = """
    0.0.0.0 0.0.0.1 0.255.255.255
    10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
    100.64.0.0 100.127.255.255 100.100.100.200
    127.0.0.1 127.255.255.254 169.254.0.1 169.254.169.254 169.254.170.2
    168.63.129.16 192.0.0.1 192.0.0.192 192.0.0.255
    192.0.2.1 198.51.100.7 203.0.113.9 198.18.0.1 198.19.255.255 192.88.99.1
    192.31.196.1 192.52.193.1 192.175.48.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255
    :: ::1 ::127.0.0.1 ::7f00:1 ::8.8.8.8
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 ::ffff:0:808:808
    64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::808:808 64:ff9b:1::1 64:ff9b:1:ffff::a00:1
    100::1 100:0:0:1::1 5f00::1
    2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff:: 2001:db8::1
    2002:7f00:1:: 2002:a00:1:: 2002:808:808::
    2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff:ffff::1
    4000::1 8000::1 fc00::1 fd00:ec2::254 fd20:ce::254 fdff:ffff::1
    fe80::1 fe80::a9fe:a9fe fec0::1 feff::1 ff02::1 ff0e::1
"""

PUBLIC = """
    1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
    192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    2001:200::1 2001:4860:4860::8888 2001:db7:ffff:: 2001:db9:: 2003::1 2400:cb00::1 2606:4700::1111
    2a00:1450::1 3ffd::1 3fff:1000::1
"""

SPELLINGS = {
    "127.0.0.1": """
        127.0.0.1 127.0.0.1. 127.1 127.0.1 2130706433 017700000001 0x7f000001 0X7F000001 0x7f.1 0x7f.0.0.1
        0177.0.0.1 0177.0.0.01 00000177.1 127.0.0.0x1 127.0x000000001 １２７.0.0.1 ①②⑦.0.0.1 𝟏𝟐𝟕.𝟎.𝟎.𝟏
        127。0。0。1 127．0．0．1 127｡0｡0｡1 ２１３０７０６４３３ ０ｘ７ｆ.1
    """,
    "0.0.0.0": "0 0.0 0x0 00 0.0.0.0 0x",  # noqa: S104
    "169.254.169.254": "169.254.169.254 2852039166 0xa9fea9fe 025177524776 169.254.43518 0xa9.0376.0xa9fe",
    "8.8.8.8": "8.8.8.8 134744072 0x08080808 010.010.010.010",
    "::1": "::1 [::1] 0:0:0:0:0:0:0:1 [0000:0000:0000:0000:0000:0000:0000:0001] [::0.0.0.1] [::1].",
    "::ffff:a00:1": "[::ffff:10.0.0.1] [::FFFF:A00:1] [0:0:0:0:0:ffff:0a00:0001]",
}

BROKEN = """
    1.2.3.4.5 1.2.3.4.0 0.0.0.0.0 256.1.1.1 1.2.3.256 1.256.1 4294967296 0x100000000 08.1.1.1 1..2 .1 shop.1
    shop.0x7f a.0 0x7g.1 1_0.1 +1.1 ::1::2 [] [v1.a] [127.0.0.1] 1:2 [shop] :
"""


@pytest.mark.parametrize("text", INSIDE.split())
def test_inside_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_addresses_beside_the_closed_nets_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", ["fe80::1%eth0", "2606:4700::1111%1", "2606:4700::1111%25eth0"])
def test_an_address_with_a_zone_is_never_public(text: str) -> None:
    assert not is_public(ip_address(text))


@given(st.ip_addresses())
def test_nothing_is_public_that_the_registries_call_special(address: IPv4Address | IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved
    assert not (special and is_public(address))


@pytest.mark.parametrize(
    ("spelling", "address"), [(s, address) for address, many in SPELLINGS.items() for s in many.split()]
)
def test_each_spelling_is_seen_through(spelling: str, address: str) -> None:
    assert literal_address(spelling) == ip_address(address)


@given(st.ip_addresses())
def test_the_usual_spelling_is_read_back(address: IPv4Address | IPv6Address) -> None:
    assert literal_address(str(address)) == address


@given(st.ip_addresses(v=4))
def test_numbers_in_each_base_are_read_back(address: IPv4Address | IPv6Address) -> None:
    number = int(address)
    assert literal_address(str(number)) == literal_address(hex(number)) == literal_address(f"0{number:o}") == address


@pytest.mark.parametrize(
    "name", ["shop.example", "1.shop", "0x7f.example", "a1", "xn--e1afmkfd.example", "1e100.net", ""]
)
def test_a_name_is_no_literal(name: str) -> None:
    assert literal_address(name) is None


@pytest.mark.parametrize("text", BROKEN.split())
def test_what_only_looks_like_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="IP address"):
        literal_address(text)
