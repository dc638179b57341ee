"""Rejects non-local requests that reach a loopback listener: proxied, cross-origin, or through DNS rebinding.

Without credentials (AUTH_MODE=none) the server listens on loopback and serves its own machine only. Rules, for HTTP and
WebSockets
  1. Every hop that a proxy names is a loopback address or a name of this machine.
  2. A page's Origin is of this machine or listed. `*` lists pages of this machine only.
  3. Without an Origin, the browser does not say that another site caused the request (Sec-Fetch-Site). An image or a
     link of another site has no Origin. `/docs` is public, so links to it work.
  4. The Host is this machine's name, or that of a listed origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from robyn_server.core.errors import Forbidden

FORWARDED_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")
_OF_CONTAINERS = (".docker.internal", ".containers.internal", ".orb.internal", ".lima.internal")
"""Names by which containers reach the machine that they run on. Nobody can register one: `.internal` has no public
hosts (ICANN's resolution of 2024-07-29)."""
_SAME_SITE = frozenset({"none", "same-origin", "same-site"})
"""Values of Sec-Fetch-Site (W3C Fetch Metadata, section 2.4). All others are of another site."""


class LoopbackGuard:
    """`origins`: AGENTHALL_CORS_ORIGINS. `*` means pages of this machine; other origins must be listed by name."""

    def __init__(self, origins: str) -> None:
        self._listed = frozenset(origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip())
        self._listed_names = frozenset(name_in(origin) for origin in self._listed) - {"", "."}

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden for a non-local request. `headers` have lower-case names."""
        refuse_forwarded(headers)
        self._refuse_page(headers.get("origin"), headers.get("sec-fetch-site"))
        self._refuse_name(headers.get("host", ""))

    def _refuse_page(self, origin: str | None, site: str | None) -> None:
        if origin is None:
            return _refuse_site(site)
        if origin in self._listed or is_own_name(name_in(origin)):
            return None
        raise Forbidden(
            f"This server requires no credentials, so pages of {origin[:128]} may not use it. List the origin in AGENTHALL_CORS_ORIGINS.",
            code="origin_refused",
        )

    def _refuse_name(self, host: str) -> None:
        """Raises Forbidden when the Host header names another machine.

        DNS rebinding: a page whose name resolves to this machine sends no Origin, but its own name as the host.
        """
        name = name_in(f"//{host}")
        if host and not is_own_name(name) and name not in self._listed_names and not name.endswith(_OF_CONTAINERS):
            raise Forbidden(
                f"This server requires no credentials and is not {name[:128]}. List http://{name[:128]} in AGENTHALL_CORS_ORIGINS if it is.",
                code="host_refused",
            )


def _refuse_site(site: str | None) -> None:
    if site is not None and site not in _SAME_SITE:
        raise Forbidden(
            "This server requires no credentials, so pages of other sites may not use it.", code="origin_refused"
        )


def refuse_forwarded(headers: Mapping[str, str]) -> None:
    """Raises Forbidden for a request that a proxy forwarded from another machine."""
    hops = ",".join(headers.get(name, "") for name in FORWARDED_HEADERS).split(",")
    if not all(_is_local(node) for hop in hops if hop.strip() for node in _nodes(hop)):
        raise Forbidden(
            "This server requires no credentials (AUTH_MODE=none) and serves its own machine only. Set AUTH_MODE to run it behind a proxy.",
            code="forwarded_without_auth",
        )


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


def _nodes(hop: str) -> list[str]:
    """The addresses that a hop names: all its `for=` (RFC 7239, section 4), or itself if it has no parameters."""
    parameters = [part.strip() for part in hop.split(";")]
    named = [part[len("for=") :] for part in parameters if part.lower().startswith("for=")]
    return named or parameters


def _is_local(node: str) -> bool:
    """Whether an address is this machine. A malformed one is not."""
    text = node.strip().strip('"').removeprefix("[").partition("]")[0]
    return is_own_name(text.partition(":")[0] if text.count(":") == 1 else text)
