"""A server that asks for no credentials (AUTH_MODE=none) listens on loopback and serves its own machine. What loopback lets in from
elsewhere is refused here: a proxy on this machine, a page from the web in a browser on it, a name of somebody else's that leads here.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from robyn_server.core.errors import Forbidden

FORWARDED_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")
_PRIVATE = ".internal"
"""Names that nobody can own on the web (ICANN's resolution of 2024-07-29): a host may be called so, but it need not be this machine."""


class OwnMachine:
    """`origins`: AGENTHALL_CORS_ORIGINS. Its `*` means pages of this machine; others must be listed by name."""

    def __init__(self, origins: str) -> None:
        self._listed = frozenset(origin.strip().rstrip("/") for origin in origins.split(","))

    def check(self, headers: Mapping[str, str]) -> None:
        """From lower-case headers. Raises Forbidden."""
        refuse_forwarded(headers)
        self._refuse_page(headers.get("origin"))
        refuse_name(headers.get("host", ""))

    def _refuse_page(self, origin: str | None) -> None:
        if origin is None or origin in self._listed or is_own_name(name_in(origin)):
            return
        raise Forbidden(
            f"This server asks for no credentials, so pages of {origin[:128]} may not use it; list them in AGENTHALL_CORS_ORIGINS.",
            code="origin_refused",
        )


def refuse_forwarded(headers: Mapping[str, str]) -> None:
    """Raises Forbidden for a request that a proxy took from another machine."""
    hops = ",".join(headers.get(name, "") for name in FORWARDED_HEADERS).split(",")
    if not all(_is_here(hop) for hop in hops if hop.strip()):
        raise Forbidden(
            "This server asks for no credentials (AUTH_MODE=none) and serves its own machine only; set AUTH_MODE to put it behind a proxy.",
            code="forwarded_without_auth",
        )


def refuse_name(host: str) -> None:
    """Raises Forbidden for `host`, the header, when it is not of this machine.

    A page whose own name was made to lead here needs no Origin to read (DNS rebinding); but it names itself as the host.
    """
    name = name_in(f"//{host}")
    if host and not is_own_name(name) and not name.endswith(_PRIVATE) and "." in name:
        raise Forbidden(f"This server asks for no credentials and is not {name[:128]}.", code="host_refused")


def name_in(url: str) -> str:
    """The host's name, in lower case; a dot, which is nobody's, for a URL that cannot be read."""
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


def _is_here(hop: str) -> bool:
    """`hop`: an address, or a `for=` of RFC 7239. What cannot be read is not here."""
    text = hop.strip().partition(";")[0].removeprefix("for=").strip('"').removeprefix("[").partition("]")[0]
    return is_own_name(text.partition(":")[0] if text.count(":") == 1 else text)
