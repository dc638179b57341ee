"""The opening handshake: health probes, allowed origins and authentication. RFC 6455, section 4.2.

A refusal is an HTTP response with a problem (RFC 9457) as its body. Scripts in a browser see a close with 1006 instead.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from robyn_server.core import errors
from robyn_server.core.http_status import headers_of, status_of
from robyn_server.identity.authenticator import ORGANIZATION_HEADER, named_organization
from robyn_server.identity.loopback import FORWARDED_HEADERS, LoopbackGuard

from .authentication import CREDENTIAL_HEADERS, SocketAuthenticator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .connection import Socket

PATHS = frozenset({"", "/", "/ws", "/ws/"})
SUBPROTOCOL = "mcp.v1"


class Origins:
    """The origins whose pages may open a socket. A client without an Origin header is not a browser.

    WebSockets have no preflight. Where no credentials are required, the rules are those of HTTP, or any page on the web
    could act as `local`.
    """

    def __init__(self, origins: str, *, is_open: bool) -> None:
        self._allowed = frozenset(each.strip().rstrip("/") for each in origins.split(",") if each.strip())
        self._any = "*" in self._allowed
        self._guard = LoopbackGuard(origins) if is_open else None

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden."""
        if self._guard is not None:
            return self._guard.check(headers)
        origin = headers.get("origin")
        if origin is None or self._any or origin in self._allowed:
            return None
        raise errors.Forbidden(
            f"Pages of {origin[:128]} may not open a socket here; see AGENTHALL_CORS_ORIGINS.", code="origin_refused"
        )


class Handshake:
    """Called by the library for every request.

    `is_ready`: whether the server accepts sockets now. `is_healthy`: whether what it depends on answers, for `/ok`.
    """

    def __init__(
        self,
        authenticator: SocketAuthenticator,
        origins: Origins,
        is_ready: Callable[[], bool],
        is_healthy: Callable[[], bool],
    ) -> None:
        self._authenticator = authenticator
        self._origins = origins
        self._is_ready = is_ready
        self._is_healthy = is_healthy

    async def __call__(self, socket: Socket, request: Request) -> Response | None:
        """Return None to go on with the handshake."""
        try:
            path, query = _target(request.path)
            if path == "/livez":
                return _answer(200, {"ok": True})
            if path == "/ok":
                is_ok = self._is_ready() and self._is_healthy()
                return _answer(200 if is_ok else 503, {"ok": is_ok})
            if path not in PATHS:
                raise errors.NotFound("There are sockets at / and /ws, and probes at /livez and /ok.")
            if not _wants_socket(request):
                return None  # the library answers that an upgrade is required
            await self._authenticate(socket, request, query)
        except errors.AgenthallError as error:
            return _refusal(error)
        return None

    async def _authenticate(self, socket: Socket, request: Request, query: str) -> None:
        if not self._is_ready():
            raise errors.Unavailable("The server is starting or going away; try again.", code="starting")
        headers = _headers(request)
        self._origins.check(headers)
        authenticated = socket.authenticated = await self._authenticator.authenticate_handshake(headers, _ticket(query))
        socket.organization_id = (
            named_organization(headers) if authenticated is None else authenticated.credentials.organization_id
        )


def _target(text: str) -> tuple[str, str]:
    """The path and query of a request target (RFC 9112, section 3.2). Raises BadRequest."""
    if text.startswith("/"):
        path, _, query = text.partition("?")
        return path, query
    try:
        address = urlsplit(text)
    except ValueError as reason:
        raise errors.BadRequest(f"The address cannot be read: {reason}.") from None
    return address.path, address.query


def _wants_socket(request: Request) -> bool:
    return any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))


def _headers(request: Request) -> dict[str, str]:
    """Headers about the origin, credentials and forwarding, by lower-case name.

    Raises BadRequest for a header that is repeated and must not be, and for one that is not ASCII.
    """
    found: dict[str, str] = {}
    for name in (*CREDENTIAL_HEADERS, ORGANIZATION_HEADER, "host", "origin", "sec-fetch-site"):
        values = request.headers.get_all(name)
        if len(values) > 1:
            raise errors.BadRequest(f"The header {name} is repeated.")
        if values:
            found[name] = values[0]
    found |= {name: ",".join(request.headers.get_all(name)) for name in FORWARDED_HEADERS if name in request.headers}
    for name, value in found.items():
        if not value.isascii():
            raise errors.BadRequest(f"The header {name} is not ASCII.")
    return found


def _ticket(query: str) -> str | None:
    """Raises BadRequest for any other parameter: addresses are logged, so keys must not be in them."""
    given = parse_qsl(query, keep_blank_values=True, max_num_fields=8) if query.count("&") < 8 else [("", "")]  # noqa: PLR2004
    if any(name != "ticket" for name, _ in given) or len(given) > 1:
        raise errors.BadRequest("The address takes one parameter, ticket; keys and tokens go into headers or messages.")
    return given[0][1] if given else None


def _refusal(error: errors.AgenthallError) -> Response:
    status = 400 if isinstance(error, errors.Invalid) else status_of(error)  # a handshake has no body: 400
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    return _answer(status, body, headers_of(status), "application/problem+json")


def _answer(
    status: int, body: dict[str, Any], headers: tuple[tuple[str, str], ...] = (), media_type: str = "application/json"
) -> Response:
    text = orjson.dumps(body)
    lines = {"Content-Type": media_type, "Content-Length": str(len(text)), "Connection": "close"} | dict(headers)
    return Response(status, HTTPStatus(status).phrase, Headers(lines), text)


def select_subprotocol(_socket: object, offered: Any) -> Any:
    """The subprotocol is offered and not required: a client that names only others gets none."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
