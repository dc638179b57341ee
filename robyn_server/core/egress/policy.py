"""Decide whether the server may connect to an address.

Rules
- The address decides that the socket connects to, never the text of a URL: a name can resolve to another address each
  time, and numbers have many spellings.
- Metadata services, link-local, multicast and unspecified addresses are refused under every policy. No entry of the
  allow list opens them.
- Reserved addresses need an entry of the allow list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .addresses import AddressClass, classify, read_address
from .allow_list import AllowedTarget, read_allow_list


class EgressLevel(StrEnum):
    """Each level allows what the one before it allows, and more."""

    LISTED = "listed"
    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"


_CLASSES = {
    EgressLevel.LISTED: frozenset[AddressClass](),
    EgressLevel.PUBLIC: frozenset({AddressClass.PUBLIC}),
    EgressLevel.PRIVATE: frozenset({AddressClass.PUBLIC, AddressClass.PRIVATE}),
    EgressLevel.LOOPBACK: frozenset({AddressClass.PUBLIC, AddressClass.PRIVATE, AddressClass.LOOPBACK}),
}

STRICTEST_LISTED = AddressClass.RESERVED
"""The strictest class that an allow list can open."""


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    level: EgressLevel
    allowed: tuple[AllowedTarget, ...] = ()

    def allows(self, address: str, port: int, host: str = "") -> bool:
        """Return whether the server may connect. `address`: in the form of a socket. `host`: as the URL names it."""
        found = read_address(address)
        if found is None or (kind := classify(found)) > STRICTEST_LISTED:
            return False
        return kind in _CLASSES[self.level] or any(each.matches(host, found, port) for each in self.allowed)


OPERATOR = EgressPolicy(EgressLevel.LOOPBACK, read_allow_list("0.0.0.0/0, ::/0"))
"""For URLs that the operator of the server sets: everything but what is always refused."""
