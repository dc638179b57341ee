"""A request as the middleware of a project's app passed it on: its path, query, headers and body may be others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from robyn_server.core.errors import BadRequest
from robyn_server.web.asgi.answers import text_of
from robyn_server.web.asgi.protocol import Receive, Scope
from robyn_server.web.asgi.scope import decoded
from robyn_server.web.edge.raw_request import RawRequest

_OF_THE_TRANSFER = frozenset({"content-length", "transfer-encoding"})
"""Headers of the body as it was sent. The one that is passed on is whole, and may be another."""
_UNQUOTED = "/:@!$&'()*+,;=-._~"
"""Characters of a path that stay as they are (RFC 3986, 3.3)."""


def passed_request(raw: RawRequest, scope: Scope) -> RawRequest:
    """The request of `scope`, without its body. `raw`: as it was sent."""
    path = str(scope["path"])
    return replace(
        raw,
        method=str(scope["method"]),
        path=raw.path if path.removesuffix("/") == decoded(raw.path).removesuffix("/") else quote(path, safe=_UNQUOTED),
        query=list(_pairs(scope["query_string"].decode())),
        headers=_joined(scope["headers"]),
        body=b"",
    )


async def passed_body(receive: Receive) -> bytes:
    """Raises BadRequest when the middleware has no whole body."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BadRequest("The request body was cut off by the middleware of the app.")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _pairs(query: str) -> Iterable[tuple[str, str]]:
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            yield name, value


def _joined(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in ((text_of(name).lower(), text_of(value)) for name, value in lines):
        if name not in _OF_THE_TRANSFER:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
