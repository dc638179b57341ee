"""Cross-origin requests (WHATWG Fetch, section 3.2).

Credentials travel in headers, never in cookies, so none are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robyn_server.web.http.messages import Headers, Response

EXPOSED = "x-pagination-total, x-pagination-next, content-location, location, x-request-id, ratelimit, ratelimit-policy, retry-after"
MAX_AGE_SECONDS = "600"
ALLOW_ORIGIN = "access-control-allow-origin"
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


class Cors:
    """`origins` is `*` or a comma-separated list of origins."""

    def __init__(self, origins: str) -> None:
        self._allowed = frozenset(origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip())
        self._any = "*" in self._allowed

    def headers(self, origin: str | None) -> Headers:
        """Headers of every response. An origin that is not listed is granted nothing."""
        if self._any:
            return _ANY if origin is not None else ()
        if origin is None or origin not in self._allowed:
            return _VARY
        return ((ALLOW_ORIGIN, origin), ("access-control-expose-headers", EXPOSED), *_VARY)

    def preflight(self, headers: Mapping[str, str], methods: Sequence[str]) -> Response:
        """The reply to a preflight request. `headers` adds the grant of the origin."""
        asked = headers.get("access-control-request-headers")
        lines = [
            ("access-control-allow-methods", ", ".join(methods) or METHODS),
            ("access-control-max-age", MAX_AGE_SECONDS),
        ]
        if asked:
            lines.append(("access-control-allow-headers", asked))
        # Any site may call an open server, but only a listed one may reach from the internet into a private network.
        if headers.get("access-control-request-private-network") == "true" and not self._any:
            lines.append(("access-control-allow-private-network", "true"))
        return Response(200, b"OK", tuple(lines), "text/plain; charset=utf-8")


_VARY: Headers = (("vary", "Origin"),)
_ANY: Headers = ((ALLOW_ORIGIN, "*"), ("access-control-expose-headers", EXPOSED))
