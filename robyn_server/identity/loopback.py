"""Rejects non-local requests that reach a loopback listener: proxied, cross-origin, or through DNS rebinding.

Without credentials (AUTH_MODE=none) the server listens on loopback and serves its own machine only.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from robyn_server.core.errors import Forbidden

FORWARDED_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")
_PRIVATE = ".internal"
"""A suffix that no public host has (ICANN's resolution of 2024-07-29).

It names a private host, though not always this machine.
"""


class LoopbackGuard:
    """`origins`: AGENTHALL_CORS_ORIGINS. `*` means pages of this machine; other origins must be listed by name."""

    def __init__(self, origins: str) -> None:
        self._listed = frozenset(origin.strip().rstrip("/") for origin in origins.split(","))

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden for a non-local request. `headers` have lower-case names."""
        refuse_forwarded(headers)
        self._refuse_page(headers.get("origin"))
        refuse_name(headers.get("host", ""))

    def _refuse_page(self, origin: str | None) -> None:
        if origin is None or origin in self._listed or is_own_name(name_in(origin)):
            return
        raise Forbidden(
            f"This server requires no credentials, so pages of {origin[:128]} may not use it. List the origin in AGENTHALL_CORS_ORIGINS.",
            code="origin_refused",
        )


def refuse_forwarded(headers: Mapping[str, str]) -> None:
    """Raises Forbidden for a request that a proxy forwarded from another machine."""
    hops = ",".join(headers.get(name, "") for name in FORWARDED_HEADERS).split(",")
    if not all(_is_local(hop) for hop in hops if hop.strip()):
        raise Forbidden(
            "This server requires no credentials (AUTH_MODE=none) and serves its own machine only. Set AUTH_MODE to run it behind a proxy.",
            code="forwarded_without_auth",
        )


def refuse_name(host: str) -> None:
    """Raises Forbidden when the Host header names another machine.

    DNS rebinding: a page whose name resolves to this machine sends no Origin, but its own name as the host.
    """
    name = name_in(f"//{host}")
    if host and not is_own_name(name) and not name.endswith(_PRIVATE) and "." in name:
        raise Forbidden(f"This server requires no credentials and is not {name[:128]}.", code="host_refused")


def name_in(url: str) -> str:
    """The host name in lower case; "." for a malformed URL, which no host is named."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return "."


def is_own_name(name: str) -> bool:
    """RFC 6761, section 6.3, and loopback addresses."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_local(hop: str) -> bool:
    """Whether `hop`, an address or a `for=` of RFC 7239, is this machine. A malformed one is not."""
    text = hop.strip().partition(";")[0].removeprefix("for=").strip('"').removeprefix("[").partition("]")[0]
    return is_own_name(text.partition(":")[0] if text.count(":") == 1 else text)
