"""How an attempt to deliver a webhook can fail, whoever's fault it is."""

from __future__ import annotations

import errno
import http.client
import ssl
from enum import StrEnum


class Failure(StrEnum):
    """Why an attempt failed: for the log of attempts, the breaker and the figures."""

    status = "status"  # an answer, but neither 2xx nor 3xx
    redirect = "redirect"
    dns = "dns"
    refused = "refused"
    unreachable = "unreachable"
    timeout = "timeout"  # nothing came in time
    too_slow = "too_slow"  # something came, but the headers weren't complete in time
    tls = "tls"
    reset = "reset"  # closed before the headers were complete
    protocol = "protocol"  # no HTTP, or too much of it
    blocked_address = "blocked_address"
    own_dns = "own_dns"
    own_side = "own_side"
    unforeseen = "unforeseen"  # a mistake of ours: an exception that nobody foresaw

    @property
    def ours(self) -> bool:
        """Whether it tells nothing of the endpoint: our resolver, proxy, network and limits, and our mistakes."""
        return self in (Failure.own_dns, Failure.own_side, Failure.unforeseen)


# What Linux makes of ICMP: whoever runs a network can send it, so it's no fault of ours.
_ICMP = ("EHOSTUNREACH", "EHOSTDOWN", "ENONET", "ENOPROTOOPT", "EOPNOTSUPP", "EPROTO", "EMSGSIZE")
_TOLD_BY_ROUTERS = {getattr(errno, name) for name in _ICMP if hasattr(errno, name)}


class AttemptFailed(Exception):
    """No answer came. No OSError, so that urllib3 hands it on as it is. `detail` is short and printable."""

    def __init__(self, failure: Failure, detail: str) -> None:
        self.failure = failure
        self.detail = "".join(c if c.isprintable() else "?" for c in detail[:200])
        super().__init__(self.detail)


def named(error: OSError | http.client.HTTPException, *, heard: bool) -> AttemptFailed:
    """What broke a connection, in our terms. `heard`: some of an answer had come."""
    match error:
        case TimeoutError() if heard:
            return AttemptFailed(Failure.too_slow, "the headers weren't complete in time")
        case TimeoutError():
            return AttemptFailed(Failure.timeout, "no answer in time")
        case ssl.SSLCertVerificationError():
            return AttemptFailed(Failure.tls, error.verify_message)
        case ssl.SSLError():
            return AttemptFailed(Failure.tls, error.reason or str(error))
        case ConnectionRefusedError():
            return AttemptFailed(Failure.refused, "connection refused")
        case ConnectionError():
            return AttemptFailed(Failure.reset, str(error))
        case http.client.HTTPException():
            return AttemptFailed(Failure.protocol, f"{type(error).__name__}: {error}")
        case OSError() if error.errno in _TOLD_BY_ROUTERS:
            return AttemptFailed(Failure.unreachable, str(error))
        case _:  # no network, no more sockets, a firewall of ours
            return AttemptFailed(Failure.own_side, str(error))
