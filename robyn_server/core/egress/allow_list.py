"""Read the entries of AGENTHALL_EGRESS_ALLOW: hosts, addresses and networks, each with an optional port.

`mcp.internal`, `*.internal`, `mcp.internal:8080`, `10.0.5.0/24`, `10.0.5.7:8080`, `fd12::/16`, `[fd12::7]:8080`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from .addresses import Address

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class AllowedTarget:
    """Either `host`, which may begin with `*.`, or `network`. `port`: None means any."""

    host: str | None = None
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def matches(self, host: str, address: Address, port: int) -> bool:
        """`host`: as the URL names it. `address`: what it resolved to."""
        if self.port not in {None, port}:
            return False
        if self.network is not None:
            return address in self.network
        return self._is_host(host.rstrip(".").lower())

    def _is_host(self, host: str) -> bool:
        if self.host is not None and self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return host == self.host


def read_allow_list(text: str) -> tuple[AllowedTarget, ...]:
    """Read entries that are separated by commas. Raises ValueError naming the first wrong one."""
    return tuple(_read(entry) for each in text.split(",") if (entry := each.strip().lower()))


def _read(entry: str) -> AllowedTarget:
    if (network := _network(entry)) is not None:
        return AllowedTarget(network=network)
    host, port = _split_port(entry)
    if (network := _network(host.removeprefix("[").removesuffix("]"))) is not None:
        return AllowedTarget(network=network, port=port)
    host = host.rstrip(".")
    if not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise _wrong(entry)
    return AllowedTarget(host=host, port=port)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Raises ValueError for a network with host bits, such as 10.0.0.1/8: it may be meant as one address."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if "/" in text and str(network.network_address) != str(ip_network(text.partition("/")[0]).network_address):
        raise ValueError(f"{text!r} has bits behind its prefix; write {network}, or the address alone")
    return network


def _split_port(entry: str) -> tuple[str, int | None]:
    host, colon, port = entry.rpartition(":")
    if not colon or entry.endswith("]"):
        return entry, None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise _wrong(entry)
    return host, int(port)


def _wrong(entry: str) -> ValueError:
    return ValueError(f"{entry!r} is no host, address or network, with or without :port (names in ASCII: xn--…)")
