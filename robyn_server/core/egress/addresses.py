"""Classify IP addresses by what can be reached at them.

Rules
- The class of an IPv6 address with an IPv4 address in it is the stricter class of both: a gateway or the kernel may
  connect to the inner one.
- An address that no registry calls globally reachable is reserved.
- Metadata services are named one by one, because some have addresses of private or public networks.
Sources: RFC 6890 and IANA's registries of special-purpose addresses; for metadata, the documentation of each cloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address


class AddressClass(IntEnum):
    """In the order of strictness."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    RESERVED = 3
    UNSPECIFIED = 4
    MULTICAST = 5
    LINK_LOCAL = 6
    METADATA = 7


_METADATA = (
    "169.254.169.254",  # AWS, Azure, Google, Oracle, DigitalOcean, OpenStack and others
    "169.254.170.2",  # AWS: credentials of tasks
    "169.254.170.23",  # AWS: credentials of pods
    "168.63.129.16",  # Azure: the virtual machine's host
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle, classic
    "fd00:ec2::254",  # AWS
    "fd00:ec2::23",  # AWS: credentials of pods
    "fd20:ce::254",  # Google
    "fd00:c1::a9fe:a9fe",  # Oracle
    "fd00:42::42",  # Scaleway
)
NETWORKS = {
    AddressClass.METADATA: _METADATA,
    AddressClass.LINK_LOCAL: ("169.254.0.0/16", "fe80::/10"),
    AddressClass.MULTICAST: ("224.0.0.0/4", "255.255.255.255", "ff00::/8"),
    AddressClass.UNSPECIFIED: ("0.0.0.0/8", "::"),
    AddressClass.LOOPBACK: ("127.0.0.0/8", "::1"),
    AddressClass.PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    AddressClass.RESERVED: (
        *("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),  # protocols, benchmarks, future use
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),  # documentation
        *("2001::/23", "2002::/16"),  # protocols (Teredo among them), 6to4
    ),
    AddressClass.PUBLIC: ("0.0.0.0/0", "2000::/3"),
}
"""The first of them that holds an address gives its class. Without one it is reserved."""

_TABLE: tuple[tuple[IPv4Network | IPv6Network, AddressClass], ...] = tuple(
    (ip_network(text), found) for found, texts in NETWORKS.items() for text in texts
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_BITS = (
    _MAPPED,
    _NAT64,
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of a local network (RFC 8215)
    IPv6Network("::/96"),  # IPv4-compatible
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
)
"""Networks whose addresses end with an IPv4 address."""

_TEREDO, _SIX_TO_FOUR = IPv6Network("2001::/32"), IPv6Network("2002::/16")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_ONES = 0xFFFFFFFF


def read_address(text: str) -> Address | None:
    """Read the address of a socket, which may have a zone; None for anything else. IPv4 in IPv6 is read as IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def classify(address: Address) -> AddressClass:
    if isinstance(address, IPv4Address):
        return _in_table(address)
    inner = [_in_table(each) for each in _embedded(address)]
    if address in _MAPPED or address in _NAT64:  # one address in another form; a NAT64 is how IPv6 hosts reach IPv4
        return inner[0]
    return max([_in_table(address), *inner])


def _in_table(address: Address) -> AddressClass:
    return next((found for network, found in _TABLE if address in network), AddressClass.RESERVED)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    number = int(address)
    if number <= 1:  # :: and ::1
        return
    if any(address in network for network in _LOW_BITS) or (number >> 32) & _ONES in _ISATAP:
        yield IPv4Address(number & _ONES)
    if address in _SIX_TO_FOUR:
        yield IPv4Address((number >> 80) & _ONES)
    if address in _TEREDO:
        yield IPv4Address((number >> 64) & _ONES)  # the server
        yield IPv4Address(~number & _ONES)  # the client
