"""A proxy that the host forces on us."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from cerber.webhooks.client import Client, Failure
from tests.integration.webhooks.client.kit import BODY, HEADERS, SLACK, TOTAL, Listen, Open, Resolver, head, raw
from tests.support.authority import Authority
from tests.support.receivers import OK, Connection, Script, answering


def proxy_script(tunnel: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", tls: Any = None) -> Script:
    """A proxy whose tunnels all end in itself, as the server of the context `tls`."""

    def script(connection: Connection) -> None:
        if connection.request().startswith(b"CONNECT"):
            connection.send(tunnel)
            if tls:
                connection.start_tls(tls)
                answering(OK)(connection)
        else:
            connection.send(OK)

    return script


def test_http_goes_through_the_proxy_whole(listen: Listen, door: Open, resolver: Resolver) -> None:
    proxy = listen(answering(OK))
    client = door(allow_private=False, proxy=f"http://user:secret@127.0.0.1:{proxy.port}")
    for _ in range(2):
        assert client.post("http://shop.example.com/hook?x=1", BODY, HEADERS).failure is None
    assert proxy.requests[0].startswith(b"POST http://shop.example.com:80/hook?x=1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in proxy.requests[1]
    assert proxy.connections == 1
    assert resolver.asked == []  # names are the proxy's to look up


def test_https_goes_through_a_tunnel_and_is_held_to_the_name(
    listen: Listen, door: Open, authority: Authority
) -> None:
    proxy = listen(proxy_script(tls=authority.server("shop.example.com")))
    client = door(False, proxy=f"http://user:secret@127.0.0.1:{proxy.port}", ca_file=str(authority.ca_file))
    for _ in range(2):
        assert client.post("https://shop.example.com/hook", BODY, HEADERS).failure is None
    connect, *inner = proxy.requests
    assert connect.startswith(b"CONNECT shop.example.com:443 HTTP/1.")
    assert b"Basic dXNlcjpzZWNyZXQ=" in connect
    assert len(inner) == 2
    assert all(request.startswith(b"POST /hook HTTP/1.1\r\nHost: shop.example.com\r\n") for request in inner)
    assert not any(b"Proxy-Authorization" in request for request in inner)
    assert client.post("https://other.example.com/", BODY, HEADERS).failure is Failure.tls


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::ffff:10.0.0.1]", "localhost", "db.internal"])
def test_the_guard_sees_the_url_where_there_is_a_proxy(listen: Listen, door: Open, host: str) -> None:
    proxy = listen(answering(OK))
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert client.post(f"http://{host}/", BODY, HEADERS).failure is Failure.blocked_address
    assert proxy.connections == 0


@pytest.mark.parametrize("url", ["http://shop.example.com/", "https://shop.example.com/"])
def test_a_proxy_that_cant_be_reached_is_ours(door: Open, resolver: Resolver, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    resolver.answers("proxy.example.net", socket.gaierror(socket.EAI_NONAME, "no"))
    for proxy in (f"http://user:secret@127.0.0.1:{port}", "http://user:secret@proxy.example.net:3128"):
        attempt = door(allow_private=False, proxy=proxy).post(url, BODY, HEADERS)
        assert attempt.failure is Failure.own_side
        assert "secret" not in attempt.detail


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("403 Forbidden", Failure.own_side),
        ("407 Proxy Authentication Required", Failure.own_side),
        ("502 Bad Gateway", Failure.unreachable),
        ("504 Gateway Timeout", Failure.unreachable),
    ],
)
def test_a_tunnel_refused_is_ours_unless_the_receiver_was_away(
    listen: Listen, door: Open, answer: str, failure: Failure
) -> None:
    proxy = listen(proxy_script(tunnel=head(answer, "Content-Length: 0")))
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert client.post("https://shop.example.com/", BODY, HEADERS).failure is failure


def test_a_proxy_that_wants_a_password_is_ours(listen: Listen, door: Open) -> None:
    proxy = listen(answering(head("407 Proxy Authentication Required", "Content-Length: 0")))
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert client.post("http://shop.example.com/", BODY, HEADERS).failure is Failure.own_side


@pytest.mark.parametrize(
    "proxy", ["", "proxy.example:3128", "https://proxy.example:3128", "socks5://proxy.example", "http://"]
)
def test_a_proxy_that_cant_be_used_is_refused_at_the_start(proxy: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        Client(allow_private=False, proxy=proxy)


def test_a_proxy_that_hangs_ends_at_the_deadline(listen: Listen, door: Open) -> None:
    proxy = listen(lambda connection: connection.hang())
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}", total_timeout=TOTAL)
    start = time.monotonic()
    assert client.post("https://shop.example.com/", BODY, HEADERS).failure is Failure.timeout
    assert time.monotonic() - start < TOTAL + SLACK


def test_a_proxy_that_speaks_no_http_is_ours(listen: Listen, door: Open) -> None:
    proxy = listen(raw(b"SSH-2.0-OpenSSH_9.6\r\n"))
    client = door(allow_private=False, proxy=f"http://127.0.0.1:{proxy.port}")
    assert client.post("https://shop.example.com/", BODY, HEADERS).failure is Failure.own_side
