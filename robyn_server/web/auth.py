"""What the headers of a request say of who asks, and for which organisation. The verifying is `services/identity.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from robyn_server.core.errors import Invalid
from robyn_server.core.ids import find_uuid
from robyn_server.core.principal import Principal
from robyn_server.services.identity import Identity

Authenticate = Callable[[Mapping[str, str]], Principal | Awaitable[Principal]]
"""From lower-cased headers. Raises Unauthenticated, Forbidden, BadRequest, Unavailable, or Invalid for a malformed
X-Organization-Id."""

ORGANIZATION_HEADER = "x-organization-id"


def authenticate(identity: Identity) -> Authenticate:
    async def of(headers: Mapping[str, str]) -> Principal:
        return _acting(await identity.identify(headers), headers)

    return of


def _acting(principal: Principal, headers: Mapping[str, str]) -> Principal:
    named = headers.get(ORGANIZATION_HEADER)
    if not named:
        return principal
    organization = find_uuid(named.strip())
    if organization is None:
        raise Invalid("X-Organization-Id: must be a UUID", field="X-Organization-Id")
    return principal.in_organization(organization)
