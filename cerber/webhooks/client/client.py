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
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

from requests import PreparedRequest
from urllib3 import HTTPResponse, Timeout
from urllib3.exceptions import HTTPError

from cerber.config import proxy_url
from cerber.webhooks import timings
from cerber.webhooks.callback_urls import CallbackUrl, parse_callback_url
from cerber.webhooks.client.deadline import Watchdog
from cerber.webhooks.client.failures import AttemptFailed, Failure
from cerber.webhooks.client.guard import CALL, Call
from cerber.webhooks.client.pools import Adapter
from cerber.webhooks.client.resolver import Resolver

USER_AGENT = "Cerber/0.1.0"
ANSWER_READ = 64 * 1024
ANSWER_KEPT = 2 * 1024

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


class Client:
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
        connect_timeout: float = timings.CONNECT,
        total_timeout: float = timings.ATTEMPT,
        ca_file: str | None = None,
    ) -> None:
        self._watchdog = Watchdog()
        self._call = partial(Call, allow_private, connect_timeout, total_timeout, Resolver(), self._watchdog)
        self._adapter = Adapter(ca_file)
        self._proxies = _proxies(proxy)
        waits = Timeout(connect=total_timeout, read=total_timeout)  # of each wait; the watchdog sees to the sum
        self._send: Any = partial(self._adapter.send, timeout=waits, proxies=self._proxies)  # type: ignore[arg-type]

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Makes one attempt. Whatever the network does becomes an Attempt, within the total timeout.

        Raises ValueError for headers that can't be sent at all, such as one with a line break in it. What nobody
        foresaw comes out as it is; the connection is closed then.
        """
        call = self._call()
        token = CALL.set(call)
        try:
            call.url = _checked(url, call.allow_private)
            return self._attempt(call, _request(call.url, body, headers))
        except AttemptFailed as failed:
            return Attempt(None, failed.failure, failed.detail, b"", None, call.seconds())
        finally:
            call.end()
            CALL.reset(token)

    def close(self) -> None:
        """Closes the connections kept for reuse. Attempts under way end by themselves."""
        self._adapter.close()
        self._watchdog.close()

    def _attempt(self, call: Call, request: PreparedRequest) -> Attempt:
        is_forwarded = self._proxies is not None and call.url.scheme == "http"
        call.target = call.url.origin + call.url.target if is_forwarded else call.url.target
        with closing(self._answer(call, request)) as answer:  # at its end urllib3 has kept the connection already
            failure, detail = _judged(answer.status, proxied=self._proxies is not None)
            body = _body(answer)[:ANSWER_KEPT]
        return Attempt(answer.status, failure, detail, body, answer.headers.get("Retry-After"), call.seconds())

    def _answer(self, call: Call, request: PreparedRequest) -> HTTPResponse:
        try:
            return cast(HTTPResponse, self._send(request))
        except AttemptFailed as failed:
            if not call.uses_kept or call.is_heard or failed.failure is Failure.timeout:
                raise
        call.end()
        call.wants_new = True
        return cast(HTTPResponse, self._send(request))


def _proxies(proxy: str | None) -> dict[str, str] | None:
    if proxy is None:
        return None
    try:
        return dict.fromkeys(("http", "https"), proxy_url(proxy))
    except ValueError as error:
        raise ValueError(f"the egress proxy {error}") from None


@lru_cache(maxsize=1024)
def _checked(url: str, allow_private: bool) -> CallbackUrl:
    """The URL in the one spelling that was checked. Raises AttemptFailed."""
    try:
        return parse_callback_url(url, own_host=None, allow_private=allow_private)
    except ValueError as error:
        raise AttemptFailed(Failure.blocked_address, f"the URL {error}") from None


_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}


def _request(url: CallbackUrl, body: bytes, headers: Mapping[str, str]) -> PreparedRequest:
    """Prepared by hand: the URL is in order already, and requests' own care costs more than all the rest."""
    request = PreparedRequest()
    request.method = "POST"
    request.url = url.origin + url.target
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


def _body(answer: HTTPResponse) -> bytes:
    """As far as we read it."""
    body = bytearray()
    # Nothing in the body undoes what the headers said. OverflowError: http.client reads chunks of less than nothing.
    with suppress(HTTPError, OverflowError):
        while len(body) < ANSWER_READ and not answer.closed:
            body += answer.read1(ANSWER_READ - len(body))
    return bytes(body)
