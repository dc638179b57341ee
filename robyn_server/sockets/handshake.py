"""The HTTP side: probes, and who may open a socket. RFC 6455, section 4.2.

A refusal is plain HTTP with a problem (RFC 9457) as its body. Browsers do not show it to scripts: they see a close with 1006.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from robyn_server.core import errors
from robyn_server.services.identity import ORGANIZATION_HEADER, named_organization
from robyn_server.services.own_machine import FORWARDED_HEADERS, name_in

from .admission import CREDENTIAL_HEADERS, Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Socket

PATHS = frozenset({"", "/", "/ws", "/ws/"})
SUBPROTOCOL = "mcp.v1"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

STATUSES: dict[type[errors.AgenthallError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.BadRequest: 400,
    errors.Invalid: 400,
    errors.NotFound: 404,
    errors.Unavailable: 503,
}


class Origins:
    """Which pages a browser may dial in from. Without an Origin it is no browser.

    There is no preflight for WebSockets: where nobody is asked for credentials, `*` means pages of this machine, or any page on the
    web could act as `local`.
    """

    def __init__(self, origins: str, *, is_open: bool) -> None:
        self._allowed = frozenset(each.strip().rstrip("/") for each in origins.split(",") if each.strip())
        self._any = "*" in self._allowed
        self._is_open = is_open

    def check(self, origin: str | None) -> None:
        """Raises Forbidden."""
        if origin is None or origin in self._allowed:
            return
        if self._any and (not self._is_open or name_in(origin) in LOOPBACK):
            return
        raise errors.Forbidden(
            f"Pages of {origin[:128]} may not open a socket here; see AGENTHALL_CORS_ORIGINS.", code="origin_refused"
        )


class Handshake:
    """Called by the library for every request. `is_ready`: whether sockets are taken now."""

    def __init__(self, admission: Admission, origins: Origins, is_ready: Callable[[], bool]) -> None:
        self._admission = admission
        self._origins = origins
        self._is_ready = is_ready

    async def __call__(self, socket: Socket, request: Request) -> Response | None:
        """None: go on with the handshake."""
        address = urlsplit(request.path)
        if address.path == "/livez":
            return _answer(200, {"ok": True})
        if address.path == "/ok":
            return _answer(200 if self._is_ready() else 503, {"ok": self._is_ready()})
        try:
            if address.path not in PATHS:
                raise errors.NotFound("There are sockets at / and /ws, and probes at /livez and /ok.")
            if not _wants_socket(request):
                return None  # the library says what an upgrade is
            await self._admit(socket, request, address.query)
        except errors.AgenthallError as error:
            return _refusal(error)
        return None

    async def _admit(self, socket: Socket, request: Request, query: str) -> None:
        if not self._is_ready():
            raise errors.Unavailable("The server is starting or going away; try again.", code="starting")
        self._origins.check(request.headers.get("Origin"))
        headers = _headers(request)
        admitted = socket.admitted = await self._admission.from_handshake(headers, _ticket(query))
        socket.organization = named_organization(headers) if admitted is None else admitted.shown.organization


def _wants_socket(request: Request) -> bool:
    return any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))


def _headers(request: Request) -> Mapping[str, str]:
    """Those that say who it is and where it comes from, by lower-case name. Raises BadRequest for one that must not be there twice."""
    found: dict[str, str] = {}
    for name in (*CREDENTIAL_HEADERS, ORGANIZATION_HEADER, "host"):
        values = request.headers.get_all(name)
        if len(values) > 1:
            raise errors.BadRequest(f"The header {name} is there more than once.")
        if values:
            found[name] = values[0]
    return found | {
        name: ",".join(request.headers.get_all(name)) for name in FORWARDED_HEADERS if name in request.headers
    }


def _ticket(query: str) -> str | None:
    """Raises BadRequest for anything else in the query: addresses end up in logs, and are no place for keys."""
    given = parse_qsl(query, keep_blank_values=True, max_num_fields=8) if query.count("&") < 8 else [("", "")]  # noqa: PLR2004
    if any(name != "ticket" for name, _ in given) or len(given) > 1:
        raise errors.BadRequest("The address takes one parameter, ticket; keys and tokens go into headers or messages.")
    return given[0][1] if given else None


def _refusal(error: errors.AgenthallError) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    extra = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status, {})
    return _answer(status, body, extra, "application/problem+json")


def _answer(
    status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    text = orjson.dumps(body)
    lines = {"Content-Type": media_type, "Content-Length": str(len(text)), "Connection": "close", **(headers or {})}
    return Response(status, HTTPStatus(status).phrase, Headers(lines), text)


def select_subprotocol(_socket: object, offered: Any) -> Any:
    """Offered and not required: who names another one gets none, and decides for itself."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
