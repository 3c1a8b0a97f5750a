"""What a `callback_url` may look like: contract sections 1 and 6, as far as the URL itself shows it.

Nothing is looked up here. What a name leads to is checked at each attempt, by `cerber.webhooks.client`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cerber.addresses import is_public, is_web_port, literal_address

MAX_LENGTH = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

_FOREIGN = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<user>[^/?#]*@)?(?P<host>\[[^\]/?#@]*\]|[^:/?#@\[\]]*)(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LEADING_ZEROS = re.compile(r"(?<![0-9a-z])0+(?=[0-9])")

# Names that only ever lead inside: reserved for it (RFC 6761, 6762, 8375, ICANN), or in wide use for it.
_INSIDE = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|onion|home\.arpa)"
)


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """A URL that webhooks may be sent to. `url` is the text as it was given, for sending.

    `scheme` and `host` are in one spelling, to be compared: lower case, an address in its usual form and without
    brackets, no dot at the end. `port` is the one connected to, given or not. `target` is path and query.
    """

    url: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """What makes two URLs one endpoint: `https://shop.example:443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_callback_url(text: str, *, own_host: tuple[str, int] | None, allow_private: bool) -> CallbackUrl:
    """Reads a `callback_url`. Raises ValueError with a message for people that says what to do.

    `own_host` is this gateway's own host and port, which would make it call itself: refused in private mode too.
    `allow_private` (CERBER_ALLOW_PRIVATE_CALLBACKS) lifts the rest of section 6.
    """
    match = _match(text)
    scheme = match["scheme"].lower()
    url = CallbackUrl(
        url=text,
        scheme=scheme,
        host=canonical_host(match["host"]),
        port=_port(match["port"], scheme),
        target=(match["path"] or "/") + (match["query"] or ""),
    )
    if own_host and (url.host, url.port) == (canonical_host(own_host[0]), own_host[1]):
        raise ValueError("must not lead back to this gateway; give the address of your own server")
    if not allow_private:
        _refuse_inside(match["host"].lower(), url.host)
        if not is_web_port(url.port):
            raise ValueError(
                "must have the port 80, 443, or one from 1024 on that no other kind of service is known by"
            )
    return url


def canonical_host(host: str) -> str:
    """A host in the one spelling that hosts are compared in. Raises ValueError for what can't be a host."""
    address = literal_address(host)
    if address is not None:
        return str(address)
    name = host.lower().removesuffix(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError("must name a host such as shop.example.com; write other letters in Punycode (xn--…)")
    return name


def _match(text: str) -> re.Match[str]:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    if _FOREIGN.search(text):
        raise ValueError("must have no blanks and only the characters of RFC 3986; percent-encode the rest")
    if _BROKEN_ESCAPE.search(text):
        raise ValueError("must have two hexadecimal digits after each %; write a percent sign as %25")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("must be an absolute URL such as https://shop.example.com/hook")
    if match["user"] is not None:
        raise ValueError("must have no user and password; webhooks are signed instead")
    if match["fragment"] is not None:
        raise ValueError("must have no fragment; leave out the # and what follows")
    return match


def _port(digits: str | None, scheme: str) -> int:
    """An empty port (`http://host:/`) is the default one, as RFC 3986 has it."""
    port = int(digits.lstrip("0")[:6] or 0) if digits else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return port


def _refuse_inside(spelled: str, host: str) -> None:
    # Some programs read 010.0.0.1 as 8.0.0.1 and some as 10.0.0.1: neither reading may lead inside.
    for reading in (spelled, _LEADING_ZEROS.sub("", spelled)):
        address = literal_address(reading)
        if address is not None and not is_public(address):
            raise ValueError("must lead to a public address; this one is private or reserved")
    # A name of one label never leads to a public host; it may lead inside, through a search domain.
    if _INSIDE.fullmatch(host) or not ("." in host or ":" in host):
        raise ValueError("must lead to a public host; this name is for use inside a network only")
