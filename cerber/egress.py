"""The one door out: every webhook leaves through here, and only to where contract section 6 lets it.

What holds for each attempt (sections 5 and 6):

- The host is looked up once. If any of its addresses is not public, nothing is connected; else one of exactly these
  addresses is, and TLS is held to the name. Redirects are not followed.
- 5 s to connect, TCP and TLS, and 15 s for all of it, the lookup included, however slowly the answer drips.
- A complete header block decides. What its body then does, cut, dripping or endless, changes nothing.
- No proxies, credentials or certificates are taken from the environment, no cookie is kept, nothing is decompressed.
- Connections are reused for an endpoint. Where a kept one turns out to be dead before any byte of an answer, the
  request is sent again on a new one: the receiver may see it twice, as at-least-once allows.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager

from cerber.config import proxy_url
from cerber.connections import Answer, Call, Common, GuardedConnection, GuardedTLSConnection
from cerber.failures import AttemptFailed, Failure
from cerber.kept import Kept
from cerber.lookups import Lookups
from cerber.sockets import TLSContext
from cerber.webhooks.callback_urls import parse_callback_url

__all__ = ["Attempt", "Egress", "Failure"]

USER_AGENT = "Cerber/0.1.0"
ANSWER_READ = 64 * 1024
ANSWER_KEPT = 2 * 1024
ENDPOINTS = 256  # pools at hand; without connections in them they are cheap to make again

# What a receiver gets wrong belongs into the log of attempts, not into ours.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went: delivered where `failure` is None.

    `status` is there when the headers came whole. `detail` is for operators, short and without secrets. `answer` is
    the first 2 KiB of the body as they came, undecoded. `retry_after` is that header, unread. `seconds` is how long.
    """

    status: int | None
    failure: Failure | None
    detail: str
    answer: bytes
    retry_after: str | None
    seconds: float


class Egress:
    """The door. One serves a whole worker: all its threads may call `post` at once.

    `allow_private` (CERBER_ALLOW_PRIVATE_CALLBACKS) lifts the guard. Timeouts are in seconds. `ca_file` holds the
    certificates to trust, in PEM; without it they are those that come with requests.

    `proxy` (CERBER_EGRESS_PROXY, `http://[user:password@]host:port`) is for hosts that let nothing out otherwise. The
    guard then refuses what the URL itself shows, and can't do more: the proxy looks names up, so it alone can refuse
    a name that leads inside, and has to be set up to. TLS is held to the name still, through a tunnel. A proxy that
    can't be reached, or that won't serve us, is a failure of our own side; but what it answers itself to an `http`
    URL, such as 502 or 403, can't be told from the receiver's answer.
    """

    def __init__(
        self,
        allow_private: bool,
        proxy: str | None = None,
        connect_timeout: float = 5.0,
        total_timeout: float = 15.0,
        ca_file: str | None = None,
    ) -> None:
        self._common = Common(allow_private, connect_timeout, total_timeout, Lookups(), Kept())
        self._proxies = _proxies(proxy)
        self._door = _Door(_tls(ca_file))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Makes one attempt. Whatever the network does becomes an Attempt, within the total timeout.

        Raises ValueError for headers that can't be sent at all, such as one with a line break in it.
        """
        call = Call(self._common)
        try:
            request = _request(_checked(url, self._common.allow_private), body, headers)
            answer = self._send(request, call)
        except AttemptFailed as failed:
            return Attempt(None, failed.failure, failed.detail, b"", None, call.seconds())
        failure, detail = _judged(answer.status, proxied=self._proxies is not None)
        start = self._finish(call, answer)
        return Attempt(answer.status, failure, detail, start, answer.headers.get("Retry-After"), call.seconds())

    def _send(self, request: PreparedRequest, call: Call) -> Answer:
        response = self._door.send(request, timeout=call, proxies=self._proxies)  # type: ignore[arg-type]
        return cast(Answer, response.raw)

    def close(self) -> None:
        """Closes the connections kept for reuse. Attempts under way end by themselves."""
        self._common.kept.close()
        self._door.close()

    def _finish(self, call: Call, answer: Answer) -> bytes:
        """Reads the body as far as we do, keeps the connection if it's ready for another request, else closes it."""
        body = _body(answer)
        reusable = answer.whole
        answer.close()
        if reusable:
            self._common.kept.keep(call.connection)
        else:
            call.connection.close()
        return body[:ANSWER_KEPT]


def _proxies(proxy: str | None) -> dict[str, str] | None:
    if proxy is None:
        return None
    try:
        return dict.fromkeys(("http", "https"), proxy_url(proxy))
    except ValueError as error:
        raise ValueError(f"the egress proxy {error}") from None


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """One context for all connections: reading the certificates takes longer than an attempt."""
    context = TLSContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file or DEFAULT_CA_BUNDLE_PATH)
    return context


@lru_cache(maxsize=1024)
def _checked(url: str, allow_private: bool) -> str:
    """The URL to send to, its host in the one spelling that was checked. Raises AttemptFailed."""
    try:
        parsed = parse_callback_url(url, own_host=None, allow_private=allow_private)
    except ValueError as error:
        raise AttemptFailed(Failure.blocked_address, f"the URL {error}") from None
    return parsed.origin + parsed.target


_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}


def _request(url: str, body: bytes, headers: Mapping[str, str]) -> PreparedRequest:
    """Prepared by hand: the URL is in order already, and requests' own care costs more than all the rest."""
    request = PreparedRequest()
    request.method = "POST"
    request.url = url
    request.headers = {**_HEADERS, **headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
    request.body = body
    return request


def _judged(status: int, *, proxied: bool) -> tuple[Failure | None, str]:
    if 200 <= status < 300:
        return None, ""
    if 300 <= status < 400:
        return Failure.redirect, f"answered {status}; redirects are not followed"
    if proxied and status == 407:
        return Failure.own_side, "the proxy asks for a user and password"
    return Failure.status, f"answered {status}"


def _body(answer: Answer) -> bytes:
    body = bytearray()
    with suppress(Exception):  # a chunk of a negative size, say: nothing in the body undoes what the headers said
        while len(body) < ANSWER_READ and (piece := answer.read1(ANSWER_READ - len(body))):
            body += piece
    return bytes(body)


class _Pool(HTTPConnectionPool):
    """What requests sends through. It only makes connections: those that wait for reuse are in `Kept`."""

    ConnectionCls = GuardedConnection

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, timeout: Call, **_: object
    ) -> Answer:
        """`timeout` is the call; the rest of what requests asks for is how urllib3 does nothing more than this.

        Raises AttemptFailed.
        """
        if self.proxy is not None and self.scheme == "http":
            headers = {**headers, **self.proxy_headers}
        kept = timeout.common.kept.take(self._endpoint)
        if kept is not None:
            try:
                return kept.exchange(timeout, method, url, body, headers)
            except AttemptFailed as failed:
                if timeout.heard or failed.failure is Failure.timeout:
                    raise
        return self._fresh().exchange(timeout, method, url, body, headers)

    @property
    def _endpoint(self) -> tuple[str, str, int | None]:
        return self.scheme, self.host, self.port

    def _fresh(self) -> GuardedConnection:
        connection = cast(GuardedConnection, self._new_conn())
        connection.endpoint = self._endpoint
        if self.proxy is not None and self.scheme == "https":
            connection.set_tunnel(self.host, self.port, self.proxy_headers)
        return connection


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = GuardedTLSConnection


class _Door(HTTPAdapter):
    """How requests reaches the network, with our pools and our certificates."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=ENDPOINTS, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._tls)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, *_: object) -> None:
        """Our TLS context verifies; requests would read its certificates again for each connection."""

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Without cookies, and the headers and the body as they are."""
        response = Response()
        response.status_code = resp.status
        response.raw = resp
        return response


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TLSPool}
