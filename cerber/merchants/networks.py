"""The networks that a merchant's requests may come from, as one text and as networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

MOST = 100

Network: TypeAlias = "IPv4Network | IPv6Network"


def joined(texts: Sequence[str]) -> str:
    """Networks and single addresses in one text, each in its usual spelling. Raises ValueError."""
    if len(texts) > MOST:
        raise ValueError(f"at most {MOST} networks")
    try:
        return " ".join(dict.fromkeys(str(ip_network(text)) for text in texts))
    except ValueError as error:
        raise ValueError(f"{error}: write networks as 203.0.113.0/24 or 2001:db8::/32") from None


def parsed(text: str | None) -> tuple[Network, ...]:
    """What `joined` made; none for None."""
    return tuple(map(ip_network, (text or "").split()))


def hold(networks: Iterable[Network], address: str) -> bool:
    """Whether an address lies in one of them. Where there are none, each does."""
    networks = tuple(networks)
    if not networks:
        return True
    try:
        found = ip_address(address)
    except ValueError:  # a socket of this machine has none
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
