"""The environment, read once into one typed Settings. A value that is not of its kind stops the start by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet

from cerber.addresses import literal_address

T = TypeVar("T")
Network: TypeAlias = "IPv4Network | IPv6Network"
ROOT = Path(__file__).resolve().parent.parent
SHORTEST_SECRET_KEY = 32
SHORTEST_METRICS_TOKEN = 16
MOST_OPEN = 1_000_000
RETRY_SCHEDULE = (0, 5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200, 86400, 86400, 86400)  # contract section 5

_OPTIONS = {"charset", "unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_disabled", "ssl_verify_cert"}
_PROXY = re.compile(
    r"http://(?:(?P<user>[\w.~!$&'()*+,;=%-]+:[\w.~!$&'()*+,;=%:-]*)@)?"
    r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?",
    re.ASCII,
)


class BadSetting(ValueError):
    """A variable is missing or not of its kind. The message is one line that begins with its name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting in the README's table. Durations are seconds unless their name says otherwise."""

    database_url: str
    secret_key: str
    encryption_keys: tuple[str, ...]
    mode: str
    allow_private_callbacks: bool
    payment_ttl: int
    timezone: ZoneInfo
    poll_interval: float
    delivery_threads: int
    retry_schedule: tuple[float, ...]
    base_url: str | None
    egress_proxy: str | None
    metrics_token: str | None
    attempt_days: int
    rate_limit: int
    open_payments: int
    new_endpoints: int
    balance_callbacks: int
    trusted_proxies: int
    desk_networks: tuple[Network, ...]
    sqlite_journal: str | None
    on_pythonanywhere: bool


def from_environment(env: Mapping[str, str]) -> Settings:
    """Settings out of `env`. Raises BadSetting with the first bad variable's name and what it should be."""
    on_pythonanywhere = "PYTHONANYWHERE_DOMAIN" in env or "PYTHONANYWHERE_SITE" in env
    return Settings(
        database_url=_read(env, "CERBER_DATABASE_URL", _database_url, f"sqlite:///{ROOT}/instance/cerber.db"),
        secret_key=_read(env, "CERBER_SECRET_KEY", _secret_key),
        encryption_keys=_read(env, "CERBER_ENCRYPTION_KEYS", _fernet_keys),
        mode=_read(env, "CERBER_MODE", _one_of("live", "sandbox"), "live"),
        allow_private_callbacks=_read(env, "CERBER_ALLOW_PRIVATE_CALLBACKS", _one_of("0", "1"), "0") == "1",
        payment_ttl=_read(env, "CERBER_PAYMENT_TTL", _integer(0, 31_536_000), "3600"),
        timezone=_read(env, "CERBER_TIMEZONE", _zone, "Asia/Baku"),
        poll_interval=_read(env, "CERBER_POLL_INTERVAL", _seconds, "0.2"),
        delivery_threads=_read(env, "CERBER_DELIVERY_THREADS", _integer(1, 256), "16"),
        retry_schedule=_read(env, "CERBER_RETRY_SCHEDULE", _schedule, ",".join(map(str, RETRY_SCHEDULE))),
        base_url=_read(env, "CERBER_BASE_URL", _base_url, "") or None,
        egress_proxy=_read(env, "CERBER_EGRESS_PROXY", _optional(proxy_url), ""),
        metrics_token=_read(env, "CERBER_METRICS_TOKEN", _optional(_metrics_token), ""),
        attempt_days=_read(env, "CERBER_ATTEMPT_DAYS", _integer(1, 3650), "30"),
        rate_limit=_read(env, "CERBER_RATE_LIMIT", _integer(0, 10_000_000), "3000"),
        open_payments=_read(env, "CERBER_OPEN_PAYMENTS", _integer(0, MOST_OPEN), "1000"),
        new_endpoints=_read(env, "CERBER_NEW_ENDPOINTS", _integer(0, 1_000_000), "100"),
        balance_callbacks=_read(env, "CERBER_BALANCE_CALLBACKS", _integer(0, 1_000_000), "60"),
        trusted_proxies=_read(env, "CERBER_TRUSTED_PROXIES", _integer(0, 9), "1" if on_pythonanywhere else "0"),
        desk_networks=_read(env, "CERBER_DESK_NETWORKS", _networks, ""),
        sqlite_journal=_read(env, "CERBER_SQLITE_JOURNAL", _optional(_one_of("wal", "delete")), ""),
        on_pythonanywhere=on_pythonanywhere,
    )


def _read(env: Mapping[str, str], name: str, parse: Callable[[str], T], default: str | None = None) -> T:
    text = env.get(name, "").strip() or default
    if text is None:
        raise BadSetting(f"{name} is required: `flask init` writes one into .env")
    try:
        return parse(text)
    except ValueError as error:
        raise BadSetting(f"{name} {error}") from None


def _database_url(text: str) -> str:
    """The message repeats nothing of the URL: it may hold a password."""
    scheme, separator, rest = text.partition("://")
    if scheme == "sqlite" and separator:
        return text
    if scheme.split("+")[0] in ("mysql", "mariadb") and separator and _names_database(rest):
        return f"mysql+pymysql://{rest}"  # MariaDB speaks the same protocol, and one dialect means one schema
    raise ValueError("must be sqlite:////absolute/path.db or mysql+pymysql://user:password@host/database")


def _names_database(rest: str) -> bool:
    """Whether what follows `mysql://` has a host, a good port, a database, and no options but PyMySQL's."""
    try:
        parts = urlsplit(f"//{rest}")
        options = set(dict(parse_qsl(parts.query, keep_blank_values=True)))
        return bool(parts.hostname and (parts.port is None or parts.port) and parts.path[1:]) and options <= _OPTIONS
    except ValueError:
        return False


def _secret_key(text: str) -> str:
    if len(text) < SHORTEST_SECRET_KEY:
        raise ValueError(f"must have at least {SHORTEST_SECRET_KEY} characters")
    return text


def _fernet_keys(text: str) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in text.split(","))
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        raise ValueError("must be Fernet keys (32 bytes in URL-safe base64), comma-separated") from None
    return keys


def proxy_url(text: str) -> str:
    """An HTTP proxy's URL as it came. Raises ValueError, whose message repeats nothing: it may hold a password."""
    match = _PROXY.fullmatch(text)
    try:
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise ValueError
        literal_address(match["host"])  # a broken one is no name either
        match["host"].encode("idna")  # which is how long names and their labels may be
        unquote(match["user"] or "").encode("latin-1")  # what Basic authentication can say
    except ValueError:
        raise ValueError(
            "must be http://host:port or http://user:password@host:port, other characters percent-encoded"
        ) from None
    return text


def _metrics_token(text: str) -> str:
    if not re.fullmatch(f"[!-~]{{{SHORTEST_METRICS_TOKEN},}}", text):
        raise ValueError(f"must have at least {SHORTEST_METRICS_TOKEN} characters, of visible ASCII")
    return text


def _optional(parse: Callable[[str], str]) -> Callable[[str], str | None]:
    return lambda text: parse(text) if text else None


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return text

    return parse


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ValueError("must be networks such as 203.0.113.0/24 or 2001:db8::/32, comma-separated") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.01 <= seconds <= 3600:
        raise ValueError("must be a number of seconds from 0.01 to 3600")
    return seconds


def _schedule(text: str) -> tuple[float, ...]:
    try:
        delays = tuple(float(part) for part in text.split(","))
    except ValueError:
        delays = (-1.0,)
    if not all(0 <= delay <= 604_800 for delay in delays):
        raise ValueError("must be seconds before each attempt, comma-separated, such as 0,5,30")
    return delays


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone of the tz database, such as Asia/Baku") from None


def _base_url(text: str) -> str:
    if not text:
        return text
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.hostname.isascii() and parts.port != 0
    except ValueError:  # no port is as high
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://pay.example.com, its name in Punycode")
    return text.rstrip("/")
