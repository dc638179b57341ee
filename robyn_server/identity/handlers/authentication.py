"""Authenticate a request with the handler of a project: its result becomes a user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.access.users import SHARED_STORE, User
from robyn_server.core.errors import Unauthenticated
from robyn_server.core.json import exact_json

from .calls import HandlerCalls, failed
from .loading import Handlers

MAX_IDENTITY_LENGTH = 255
_RESERVED = frozenset({SYSTEM_OWNER, SHARED_STORE, "*"})
_KNOWN = ("identity", "display_name", "is_authenticated", "permissions")


class HttpRequest(Protocol):
    """The parts of a request that a handler may ask for. Names of headers are lower case; the rest is decoded."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def path_params(self) -> Mapping[str, str]: ...
    @property
    def query_params(self) -> Mapping[str, str]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class UserAuthentication:
    def __init__(self, handlers: Handlers, calls: HandlerCalls) -> None:
        self._handlers = handlers
        self._calls = calls

    async def authenticate(self, request: HttpRequest) -> User:
        """The user of the request.

        Raises as `HandlerCalls.call` does, and Unauthenticated for a user that is not authenticated.
        """
        handler = self._handlers.authenticate
        arguments = {name: _ARGUMENTS[name](request) for name in self._handlers.parameters}
        result = await self._calls.call(handler, **arguments)
        try:
            user = _user(result)
        except (TypeError, ValueError) as error:
            raise failed(handler, error) from None
        if not user.is_authenticated:
            raise Unauthenticated("The credentials are not valid.", code="user_not_authenticated")
        return user


def _user(result: Any) -> User:
    """Raises TypeError and ValueError for a result that is no user."""
    fields = _fields(result)
    identity, permissions = fields.get("identity"), fields.get("permissions") or []
    if not isinstance(identity, str) or not identity or len(identity) > MAX_IDENTITY_LENGTH or "\0" in identity:
        raise ValueError(f"a user needs an `identity`, a text of 1 to {MAX_IDENTITY_LENGTH} characters")
    if identity in _RESERVED:
        raise ValueError(f"the identity {identity!r} is the server's own")
    if isinstance(permissions, str) or not all(isinstance(each, str) for each in permissions):
        raise ValueError("`permissions` of a user is a list of texts")
    return User({**fields, "permissions": list(permissions)})


def _fields(result: Any) -> dict[str, Any]:
    if isinstance(result, str):
        return {"identity": result}
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if hasattr(result, "model_dump"):
        own = result.model_dump()
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        own = {each.name: getattr(result, each.name) for each in dataclasses.fields(result)}
    else:
        own = {name: value for name, value in getattr(result, "__dict__", {}).items() if not name.startswith("_")}
    known = {name: getattr(result, name) for name in _KNOWN if hasattr(result, name)}
    if "identity" not in known and "identity" not in own:
        raise TypeError(
            f"authenticate returned {type(result).__name__}, which is no text, mapping or object with an `identity`"
        )
    return {**own, **known}


def _headers(request: HttpRequest) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in request.headers.items()}


def _body(request: HttpRequest) -> Any:
    """The body as JSON; None without one, or if it is not JSON, which is refused later."""
    if not request.body:
        return None
    try:
        return exact_json.loads(request.body)
    except ValueError:
        return None


def _scope(request: HttpRequest) -> dict[str, Any]:
    """The request as ASGI describes it."""
    from urllib.parse import quote, urlencode

    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": quote(request.path, safe="/%").encode(),
        "root_path": "",
        "path_params": dict(request.path_params),
        "query_string": urlencode(dict(request.query_params)).encode(),
        "headers": list(_headers(request).items()),
    }


def _starlette_request(request: HttpRequest) -> Any:
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    return Request(_scope(request), receive)


_ARGUMENTS: Mapping[str, Any] = {
    "request": _starlette_request,
    "scope": _scope,
    "body": _body,
    "path": lambda request: request.path,
    "method": lambda request: request.method,
    "path_params": lambda request: dict(request.path_params),
    "query_params": lambda request: dict(request.query_params),
    "headers": _headers,
    "authorization": lambda request: request.headers.get("authorization"),
}
