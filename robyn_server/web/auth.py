"""What the headers of a request say of who asks, and for which organisation. The verifying is `services/identity.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from robyn_server.core.principal import Principal
from robyn_server.services.identity import Identity, named_organization

Authenticate = Callable[[Mapping[str, str]], Principal | Awaitable[Principal]]
"""From lower-cased headers. Raises Unauthenticated, Forbidden, BadRequest, Unavailable, or Invalid for a malformed
X-Organization-Id."""


def authenticate(identity: Identity) -> Authenticate:
    async def of(headers: Mapping[str, str]) -> Principal:
        return _acting(await identity.identify(headers), headers)

    return of


def _acting(principal: Principal, headers: Mapping[str, str]) -> Principal:
    organization = named_organization(headers)
    return principal if organization is None else principal.in_organization(organization)
