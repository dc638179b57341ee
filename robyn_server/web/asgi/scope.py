"""A request as an ASGI scope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from robyn_server.core.access.users import User
from robyn_server.core.errors import BadRequest

from .protocol import VERSIONS, Scope

_REQUEST_ID = "x-request-id"
_CAPITALS = "Multipart/Form-Data"
"""The media type of a form that passed Robyn whole. See `deploy/nginx.conf`."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`scope["auth"]`, as Starlette's `AuthCredentials`: `requires` reads `scopes`."""

    scopes: list[str]


@dataclass(frozen=True, slots=True)
class AppRequest:
    """A request for the app. `path` is not decoded, nor are `query` and `headers`, whose names are lower case.

    `client`: the address of the peer, which may be a proxy. `user`: unset without authentication.
    """

    method: str
    path: str
    query: Iterable[tuple[str, str]]
    headers: Iterable[tuple[str, str]]
    body: bytes
    request_id: str
    client: str | None = None
    scheme: str = "http"
    user: User | None = None


def http_scope(request: AppRequest, server: tuple[str, int], state: Mapping[str, Any]) -> Scope:
    """The scope, with a copy of the state of the lifespan. Raises BadRequest for a path that is not UTF-8."""
    scope: Scope = {
        "type": "http",
        "asgi": dict(VERSIONS),
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": decoded(request.path),
        "raw_path": request.path.encode(),
        "query_string": "&".join(f"{name}={value}" for name, value in request.query).encode(),
        "root_path": "",
        "headers": _headers(request),
        "client": None if request.client is None else (request.client, 0),
        "server": server,
        "state": dict(state),
        "extensions": {},
    }
    return scope | credentials_of(request.user)


def credentials_of(user: User | None) -> Scope:
    """The part of a scope that says who asks."""
    return {} if user is None else {"user": user, "auth": Credentials(user.permissions)}


def decoded(path: str) -> str:
    """Raises BadRequest for a path that is not UTF-8."""
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("The path is not UTF-8.") from None


def _headers(request: AppRequest) -> list[tuple[bytes, bytes]]:
    """The request's own, and the id under which the server logs it."""
    lines = [_line(name.lower(), value) for name, value in request.headers if name.lower() != _REQUEST_ID]
    return [*lines, (_REQUEST_ID.encode(), request.request_id.encode())]


def _line(name: str, value: str) -> tuple[bytes, bytes]:
    if name == "content-type" and value.startswith(_CAPITALS):
        value = _CAPITALS.lower() + value.removeprefix(_CAPITALS)
    return name.encode(), value.encode()
