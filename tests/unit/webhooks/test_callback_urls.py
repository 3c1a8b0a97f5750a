"""Contract sections 1 and 6: which callback URLs are taken, by what the URL itself shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerber.webhooks.callback_urls import CallbackUrl, canonical_host, parse_callback_url
from tests.support.inside import INSIDE_HOSTS

OWN = ("pay.cerber.example", 443)


def parse(text: str, allow_private: bool = False, own_host: tuple[str, int] | None = OWN) -> CallbackUrl:
    return parse_callback_url(text, own_host=own_host, allow_private=allow_private)


PUBLIC = """
    https://shop.example.com/hook http://shop.example.com http://shop.example.com:8080/a/b?c=d&e=%20
    https://SHOP.Example.COM./Hook https://shop.example.com? https://shop.example.com/?x=1?y=/ https://a-b.c_d.example/
    https://xn--e1afmkfd.xn--p1ai/ https://1e100.net/ https://1.shop/ https://0x7f.shop/ https://127.0.0.1.example.com/
    https://localhost.example.com/ https://internal.example.com https://mylocalhost.com https://homes.example/
    http://8.8.8.8/ http://8.8.8.8:65535/ http://1.1.1.1./ http://134744072/ http://0x8.0x8.0x8.0x8/
    http://172.32.0.1 http://100.128.0.1 http://192.169.1.1 http://11.0.0.1
    https://[2606:4700::1111]/ https://[2A00:1450::1]:8443/hook http://[2001:4860:4860:0:0:0:0:8888]
    https://shop.example.com/@me https://shop.example.com/a:b;c=1,2!$&'()*+ https://shop.example.com/?u=http://10.0.0.1/
    https://shop.example.com/?a[]=1 https://shop.example.com//x/../y HTTPS://shop.example.com https://shop.example.com:/
    https://pay.cerber.example:8443/ http://pay.cerber.example/ https://shop.pay.cerber.example/
"""

MALFORMED = {
    "absolute": """
        shop.example.com //shop.example.com/ /hook ftp://shop.example.com/ file:///etc/passwd javascript:alert(1)
        http:/shop.example.com http:shop.example.com https//shop.example.com gopher://shop.example.com:70/_x
        unix:///var/run/docker.sock http://shop.example.com:80:80/ http://shop.example.com:-1/ http://sh[op].example.com/
        http://shop.example.com:8o/ http://[::1/ http://::1/ http://[::1]x/ http://[::1]./ http
    """,
    "name a host": """
        http:// http:///hook http://:80/ http://./ http://a..example.com/ http://.example.com/ http://-a.example.com/
        http://a-.example.com/ http://%31%32%37.0.0.1.example.com/ http://a!b.example.com/ http://shop~1.example.com/
        http://127.0.0.1,example.com/ http://127.0.0.1;.example.com/
    """,
    "IP address": """
        http://1.2.3.4.5/ http://256.1.1.1/ http://4294967296/ http://shop.1/ http://08.8.8.8/ http://shop.0x7f/
        http://[v1.a]/ http://[::1::2]/ http://[]/ http://[127.0.0.1]/ http://1..2/
    """,
    "user": """
        http://user@shop.example.com/ http://user:pw@shop.example.com/ http://@shop.example.com/ http://:@shop.example.com/
        http://shop.example.com@127.0.0.1/ http://127.0.0.1:80@shop.example.com/ http://a@b@shop.example.com/
        http://shop.example.com:443@10.0.0.1:80/
    """,
    "fragment": """
        http://shop.example.com/# http://shop.example.com# http://shop.example.com/#x http://shop.example.com/?a#b
        http://shop.example.com#@127.0.0.1/
    """,
    "RFC 3986": """
        http://shop.example.com/ə http://mağaza.example/ http://１２７.0.0.1/ http://①②⑦.0.0.1/ http://127。0。0。1/
        http://shop.example.com\\@127.0.0.1/ http:\\\\shop.example.com/ http://shop.example.com/" http://shop.example.com/<b>
        http://shop.example.com/{id} http://shop.example.com/a|b http://shop.example.com/` http://shop.example.com/^
    """,
    "two hexadecimal": """
        http://shop.example.com/% http://shop.example.com/%2 http://shop.example.com/%zz http://[fe80::1%eth0]/
        http://shop.example.com/?a=100%&b=1
    """,
    "port from 1": """
        http://shop.example.com:0/ http://shop.example.com:65536/ http://127.0.0.1:0/
        http://shop.example.com:99999999999999999999/
    """,
}

WITH_BLANKS = [
    " http://shop.example.com/",
    "http://shop.example.com/ ",
    "http://shop.example.com/a b",
    "http://shop.example.com/\t",
    "http://shop.example.com/\n",
    "http://shop.example.com/\r\nHost: x",
    "http://shop.example.com/\x00",
    "http://shop.example.com/\x7f",
    "http://shop.example.com/\u200b",
    "http://shop.example.com\u00a0/",
    " ",
]


@pytest.mark.parametrize("host", INSIDE_HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_inside_hosts_are_refused_however_they_are_spelled(scheme: str, host: str) -> None:
    for rest in ("", "/hook", ":8080/hook?x=1", ":/"):
        with pytest.raises(ValueError, match="must lead to a public"):
            parse(f"{scheme}://{host}{rest}")


@pytest.mark.parametrize("host", INSIDE_HOSTS)
def test_private_mode_takes_inside_hosts(host: str) -> None:
    assert parse(f"http://{host}/hook", allow_private=True).target == "/hook"


@pytest.mark.parametrize("zone", ["http://[fe80::1%25eth0]/", "http://[2606:4700::1111%251]/"])
def test_a_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="public address"):
        parse(zone)


@pytest.mark.parametrize("url", PUBLIC.split())
def test_public_urls_are_taken_as_they_are(url: str) -> None:
    assert parse(url).url == url


@pytest.mark.parametrize(
    ("reason", "url"), [(reason, url) for reason, urls in MALFORMED.items() for url in urls.split()]
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_what_is_no_callback_url_is_refused_with_the_reason(reason: str, url: str, allow_private: bool) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(url, allow_private)


@pytest.mark.parametrize("url", WITH_BLANKS)
def test_blanks_and_control_characters_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no blanks"):
        parse(url)


@pytest.mark.parametrize("host", ["a" * 64 + ".example.com", "a." * 130 + "example.com"])
def test_a_host_longer_than_names_can_be_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="name a host"):
        parse(f"http://{host}/")


def test_a_url_longer_than_2048_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 2048 characters"):
        parse("http://shop.example.com/" + "a" * 2025)


def test_the_longest_url_is_taken() -> None:
    url = "http://shop.example.com/" + "a" * 2024
    assert len(url) == 2048
    assert parse(url).url == url


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("HTTPS://Shop.Example.COM.", "https://shop.example.com:443", "/"),
        ("http://shop.example.com:/a/B?c=%2f", "http://shop.example.com:80", "/a/B?c=%2f"),
        ("http://shop.example.com:00080?x=1", "http://shop.example.com:80", "/?x=1"),
        ("https://8.8.8.8.:8443//a/../b", "https://8.8.8.8:8443", "//a/../b"),
        ("https://0x08080808/", "https://8.8.8.8:443", "/"),
        ("https://[2A00:1450:0:0::0001]/?", "https://[2a00:1450::1]:443", "/?"),
    ],
)
def test_parts_are_brought_into_one_spelling(url: str, origin: str, target: str) -> None:
    parsed = parse(url)
    assert (parsed.origin, parsed.target) == (origin, target)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(
    ("own_host", "url"),
    [
        (OWN, "https://pay.cerber.example/hook"),
        (OWN, "https://pay.cerber.example:443/"),
        (OWN, "https://PAY.Cerber.Example./bot_api/get_wallet/"),
        (OWN, "http://pay.cerber.example:443/"),
        (("PAY.cerber.example.", 80), "http://pay.cerber.example"),
        (("8.8.8.8", 80), "http://0x08080808/"),
        (("[2a00:1450::1]", 8000), "http://[2A00:1450:0::1]:8000/"),
    ],
)
def test_the_gateways_own_host_and_port_is_refused_in_each_mode(
    own_host: tuple[str, int], url: str, allow_private: bool
) -> None:
    with pytest.raises(ValueError, match="this gateway"):
        parse(url, allow_private, own_host)


@pytest.mark.parametrize("url", ["http://127.1:8000/", "http://2130706433:8000", "http://127.0.0.1.:8000/x"])
def test_in_private_mode_the_own_host_is_seen_through_each_spelling(url: str) -> None:
    with pytest.raises(ValueError, match="this gateway"):
        parse(url, allow_private=True, own_host=("127.0.0.1", 8000))
    assert parse(url.replace("8000", "8001"), allow_private=True, own_host=("127.0.0.1", 8000)).port == 8001


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_either_read_or_refused_in_words(text: str, allow_private: bool) -> None:
    for url in (text, f"http://{text}", f"https://shop.example.com{text}"):
        outcome = read_or_reason(url, allow_private)
        if isinstance(outcome, CallbackUrl):
            assert parse(outcome.origin + outcome.target, allow_private).origin == outcome.origin
        else:
            assert outcome.startswith(("must ", "looks like "))


def read_or_reason(url: str, allow_private: bool) -> CallbackUrl | str:
    try:
        return parse(url, allow_private)
    except ValueError as reason:
        return str(reason)


def test_a_hosts_one_spelling_is_its_own() -> None:
    for host in ("shop.example.com", "8.8.8.8", "2a00:1450::1"):
        assert canonical_host(canonical_host(host)) == host
