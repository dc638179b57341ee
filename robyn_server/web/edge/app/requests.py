"""The requests that the app of a project answers: which they are, whose they are, and how they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.access.users import User
from robyn_server.settings import AuthMode, MiddlewareOrder, Settings
from robyn_server.web.asgi.call import AppCall
from robyn_server.web.asgi.host import AppHost
from robyn_server.web.asgi.middleware import Inner
from robyn_server.web.asgi.scope import AppRequest
from robyn_server.web.edge.access.authentication import ANONYMOUS, Authenticate
from robyn_server.web.edge.access.gate import AccessGate
from robyn_server.web.edge.cors import ALLOW_ORIGIN
from robyn_server.web.edge.raw_request import RawRequest
from robyn_server.web.http.messages import Headers, Query, Request


@dataclass(frozen=True, slots=True)
class AppRequests:
    """`is_authenticated`: by `gate`, the handlers of the project, or without them by `identify`.

    `is_local`: only this machine and its pages may ask, as for the server's own routes with AUTH_MODE=none.
    `is_late`: the app's middleware comes before the authentication, and may bring credentials.
    """

    host: AppHost
    is_authenticated: bool
    is_local: bool
    is_late: bool
    identify: Authenticate
    gate: AccessGate | None

    @classmethod
    def of(cls, settings: Settings, host: AppHost, identify: Authenticate, gate: AccessGate | None) -> AppRequests:
        is_local = settings.auth_mode is AuthMode.NONE and gate is None
        is_first = settings.http_middleware_order is MiddlewareOrder.MIDDLEWARE_FIRST
        is_late = is_first and bool(host.middleware) and not is_local
        return cls(host, settings.http_app_auth, is_local, is_late, identify, gate)

    @property
    def has_middleware(self) -> bool:
        return bool(self.host.middleware)

    def openapi(self) -> dict[str, Any] | None:
        return self.host.openapi()

    def precedes(self, raw: RawRequest) -> bool:
        """Whether the app comes before the server's own routes. Raises BadRequest for a path that is not UTF-8."""
        return self.host.precedes(raw.asked_method or raw.method, raw.path)

    @staticmethod
    def grants_origin(headers: Headers) -> bool:
        """Whether the app decides itself about other origins."""
        return any(name == ALLOW_ORIGIN for name, _ in headers)

    async def authenticate(self, raw: RawRequest, body: bytes, request_id: str) -> User | None:
        """The user of the request; None where routes are open.

        Raises as `AccessGate.authenticate` and `Authenticate` do, and Forbidden for a key with limited scopes.
        """
        if not self.is_authenticated:
            if self.is_local:
                await self._principal(raw)
            return None
        if self.gate is not None:
            query = Query.from_raw(raw.query)
            request = Request(raw.method, raw.path, {}, query, raw.headers, body, ANONYMOUS, request_id)
            return await self.gate.authenticate(request)
        principal = await self._principal(raw)
        require(principal, Operation.APP_USE)
        return user_of(principal)

    async def _principal(self, raw: RawRequest) -> Principal:
        identified = self.identify(raw.headers)
        return identified if isinstance(identified, Principal) else await identified

    def begin(
        self, raw: RawRequest, body: bytes, request_id: str, user: User | None, inner: Inner | None = None
    ) -> AppCall:
        """Begin the request, see `AppHost.call`."""
        wire = raw.wire()
        return self.host.call(
            AppRequest(
                method=raw.method,
                path=raw.path,
                query=raw.query,
                headers=wire.headers,
                body=body,
                request_id=request_id,
                client=wire.client,
                scheme=wire.scheme,
                user=user,
            ),
            inner,
        )


def user_of(principal: Principal) -> User:
    """A principal in the form of the user that a handler returns. `organizations`: None for all."""
    organizations = principal.organizations
    return User(
        {
            "identity": principal.identity,
            "permissions": sorted(principal.permissions),
            "kind": str(principal.kind),
            "organizations": None if organizations is None else sorted(map(str, organizations)),
        }
    )
