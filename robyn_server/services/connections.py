"""Use cases of connections: a user completes, lists and revokes the own connections to MCP servers."""

from __future__ import annotations

from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.credentials.oauth.authorizations import AuthorizationAnswer, Authorizations, Connected
from robyn_server.credentials.oauth.connections import Connections
from robyn_server.storage.mcp.connections import OwnConnection, OwnConnections

MAX_LISTED = 1000


class ConnectionService:
    def __init__(self, own: OwnConnections, connections: Connections, authorizations: Authorizations) -> None:
        self._own = own
        self._connections = connections
        self._authorizations = authorizations

    async def list(self, principal: Principal) -> tuple[OwnConnection, ...]:
        return await self._own.list(principal, MAX_LISTED)

    async def delete(self, principal: Principal, connection_id: UUID) -> None:
        """Delete a connection, and revoke its tokens at the authorization server if it can be reached.

        Raises NotFound.
        """
        revocation = await self._connections.revocation(principal.identity, connection_id)
        if not await self._own.delete(principal, connection_id):
            raise NotFound("Connection not found.")
        await revocation.send()

    async def complete(self, answer: AuthorizationAnswer, principal: Principal | None) -> Connected:
        """Keep the tokens of a connection. `principal`: None for a browser without credentials.

        Raises BadRequest, Forbidden, Unavailable.
        """
        return await self._authorizations.complete(answer, None if principal is None else principal.identity)
