"""Which addresses and ports a webhook may go to: contract section 6, as pure functions.

The tables are our own, since `ipaddress.is_global` alone lets inside addresses pass: 64:ff9b::7f00:1 (NAT64),
2002:7f00:1:: (6to4) and the platform address of Azure among them.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_CLOSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this" network: Linux connects 0.0.0.0 to itself
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata lives here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's platform address, in public space
            "169.254.0.0/16",  # link-local; the metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata lives here
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT relays
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and 255.255.255.255
        ),
    )
)

# All that is public in IPv6 lies in here. Outside of it, and so never reached: ::/96 and ::ffff:0:0/96 and
# ::ffff:0:0:0/96 (IPv4 within IPv6), 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64 (discard), 5f00::/16
# (segment routing), fc00::/7 (private; fd00:ec2::254 is AWS's metadata), fe80::/10, fec0::/10, ff00::/8.
_OPEN_V6 = IPv6Network("2000::/3")

_CLOSED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # the 6bone, handed back
            "3fff::/20",  # documentation
        ),
    )
)

# From 1024 on: where other things listen than a merchant's web server, and would take a webhook for a command.
_CLOSED_PORTS = frozenset(
    {
        # bad ports of the Fetch standard
        *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697),
        10080,
        # databases and searches: SQL Server, Oracle, Firebird, MySQL, PostgreSQL and its poolers, Db2, MongoDB,
        # CouchDB, Cassandra, Elasticsearch, Solr, InfluxDB, ClickHouse, Neo4j, ArangoDB
        *(1433, 1434, 1521, 1522, 1526, 1529, 2483, 2484, 3050, 3306, 33060, 33062, 5432, 5433, 6432, 50000, 27017),
        *(27018, 27019, 28017, 5984, 6984, 7000, 7001, 9042, 9142, 9160, 9200, 9300, 8983, 8086, 8088, 8123, 7473),
        *(7474, 7687, 8529),
        # caches and queues: Redis and its sentinels, Memcached, RabbitMQ, ActiveMQ, NATS, Kafka, ZooKeeper, MQTT
        *(
            6379,
            6380,
            16379,
            26379,
            11211,
            11214,
            11215,
            4369,
            5671,
            5672,
            15672,
            25672,
            61613,
            61616,
            4222,
            6222,
            9092,
        ),
        *(2181, 1883, 8883),
        2525,  # mail by another door
        # what governs machines: Docker, etcd, Kubernetes, Consul, Vault, Java's RMI and debugger, WinRM
        *(2375, 2376, 2377, 2379, 2380, 4001, 6443, 10250, 10255, 8500, 8200, 1098, 1099, 5005, 5985, 5986),
        # proxies, files and screens: SOCKS, Squid, rsync's and iSCSI's neighbours, RDP, VNC
        *(1080, 3128, 3260, 9418, 3389, 5900, 5901, 5902, 5903),
    }
)

_DOTS = str.maketrans("。", ".")  # the one dot of IDNA that NFKC leaves alone
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


def is_public(address: Address) -> bool:
    """Whether a webhook may be sent to this address. An address with a zone (`fe80::1%eth0`) never is."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    return address.scope_id is None and address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def one_party(address: str) -> str:
    """What stands for whoever is behind an address: itself, of IPv6 its /64, which is what one line is given.

    What is no address (a socket of this machine has none) stands for itself.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found) >> 64 << 64, 64)))


def is_web_port(port: int) -> bool:
    """Whether a merchant's web server may listen there: 80, 443, and from 1024 on where nothing else is known to."""
    return port in (80, 443) or (1024 <= port <= 65535 and port not in _CLOSED_PORTS)


def literal_address(host: str) -> Address | None:
    """The address that a host spells in any way a resolver understands; None for a name.

    IPv4 as inet_aton reads it (`127.1`, `0x7f.1`, `2130706433`, `017700000001`), IPv6 with or without brackets,
    both with dots at the end and in digits that IDNA would turn into ASCII. Raises ValueError for what looks
    like an address and is none (`1.2.3.4.5`, `shop.0x7f`): what one library refuses, another may yet read.
    """
    host = unicodedata.normalize("NFKC", host).translate(_DOTS).lower().rstrip(".")
    parts = host.split(".")
    try:
        if ":" in host or host.startswith("["):
            return IPv6Address(host.removeprefix("[").removesuffix("]"))
        return _ipv4(parts) if _NUMBER.fullmatch(parts[-1]) else None
    except (ValueError, OverflowError):
        raise ValueError("looks like an IP address and is none; write it as 192.0.2.1 or 2001:db8::1") from None


def _ipv4(parts: list[str]) -> IPv4Address:
    """inet_aton: each part is a byte, but the last one fills all the bytes that are left."""
    *leading, last = map(_number, parts)
    if len(leading) > 3:
        raise ValueError(parts)
    return IPv4Address(bytes(leading) + last.to_bytes(4 - len(leading), "big"))


def _number(part: str) -> int:
    """One part in hexadecimal, octal or decimal, by its prefix as in C."""
    if not _NUMBER.fullmatch(part):
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
