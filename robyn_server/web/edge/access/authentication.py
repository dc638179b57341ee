"""The principal of a request, from its headers. `identity/authenticator.py` verifies the credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from robyn_server.core.access.principal import Principal
from robyn_server.identity.authenticator import Authenticator, named_organization

ANONYMOUS = Principal("anonymous")
"""The principal of routes that need no credentials."""

Authenticate = Callable[[Mapping[str, str]], Principal | Awaitable[Principal]]
"""Takes lower-case headers. Raises Unauthenticated, Forbidden, BadRequest, Unavailable, or Invalid for a malformed
X-Organization-Id."""


def authenticate(identity: Authenticator) -> Authenticate:
    async def principal_of(headers: Mapping[str, str]) -> Principal:
        return acting_for(await identity.identify(headers), headers)

    return principal_of


def acting_for(principal: Principal, headers: Mapping[str, str]) -> Principal:
    """The principal in the organization that the headers name. Raises Forbidden for a foreign one, Invalid."""
    organization = named_organization(headers)
    return principal if organization is None else principal.in_organization(organization)
