"""Use cases of connections: a user begins, completes, lists and revokes the own connections to MCP servers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.credentials.oauth.authorizations import AuthorizationAnswer, Authorizations, Connected
from robyn_server.credentials.oauth.connections import Connections
from robyn_server.credentials.oauth.servers import ConnectableServers
from robyn_server.storage.mcp.connections import OwnConnection, OwnConnections

MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Connectable:
    """An MCP server that the user connects to. `is_connected`: there is a connection of the user's organization."""

    url: str
    organization_id: UUID | None
    is_connected: bool


class ConnectionService:
    def __init__(
        self,
        own: OwnConnections,
        connections: Connections,
        authorizations: Authorizations,
        servers: ConnectableServers,
    ) -> None:
        self._own = own
        self._servers = servers
        self._connections = connections
        self._authorizations = authorizations

    async def list(self, principal: Principal) -> tuple[OwnConnection, ...]:
        return await self._own.list(principal, MAX_LISTED)

    async def servers(self, principal: Principal) -> tuple[Connectable, ...]:
        """The servers that members of the principal's organization connect to, by URL.

        Raises BadRequest for a principal of several organizations that names none.
        """
        organization_id = principal.organization_for_new()
        own = {each.url for each in await self.list(principal) if each.organization_id == organization_id}
        found = await self._servers.list(organization_id, MAX_LISTED)
        return tuple(Connectable(each.entry.url, organization_id, each.entry.url in own) for each in found)

    async def begin(self, principal: Principal, url: str) -> str:
        """The URL that the user opens to connect, for AUTHORIZATION_SECONDS.

        Raises BadRequest as `servers` does, Invalid, NotFound, Unavailable.
        """
        return await self._servers.begin(principal.identity, principal.organization_for_new(), url)

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
