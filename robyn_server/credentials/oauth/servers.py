"""The MCP servers that users connect to themselves: which they are, and the begin of a connection outside a run."""

from __future__ import annotations

from uuid import UUID

import structlog

from robyn_server.core.errors import Misconfigured, NotFound, Unavailable
from robyn_server.core.mcp_credentials import StoredEntry, server_url
from robyn_server.credentials.key_ring import SecretUnreadable
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.references import CredentialUnusable
from robyn_server.credentials.sealing import entry_binding
from robyn_server.credentials.token_requests import TokenRefused
from robyn_server.storage.mcp.credentials import McpCredentials

from .authorizations import Authorizations

_log = structlog.get_logger(__name__)


class ConnectableServers:
    def __init__(self, stored: McpCredentials, keys: Keys, authorizations: Authorizations) -> None:
        self._stored = stored
        self._keys = keys
        self._authorizations = authorizations

    async def list(self, organization_id: UUID | None, limit: int) -> list[StoredEntry]:
        """The entries for a member of the organization, by URL."""
        return await self._stored.find_connectable(organization_id, None, limit)

    async def begin(self, owner_id: str, organization_id: UUID | None, url: str) -> str:
        """The URL that the user opens to connect.

        Raises Invalid for a text that is no URL, and NotFound for a server without an entry of this kind. Raises
        Unavailable where the server or its authorization server cannot be used now.
        """
        found = await self._stored.find_connectable(organization_id, server_url(url), 1)
        if not found:
            raise NotFound("There is no MCP server with this URL that users connect to.")
        try:
            secret = self._keys.open(found[0].sealed, entry_binding(found[0].entry))
            return await self._authorizations.begin(found[0].entry, secret, owner_id, organization_id)
        except (CredentialUnusable, TokenRefused) as unusable:
            raise Unavailable(f"The server cannot be connected to now: {unusable}.", code="not_connectable") from None
        except (SecretUnreadable, Misconfigured) as error:
            _log.error("a credential cannot be decrypted", url=found[0].entry.url, reason=str(error))
            raise Unavailable(
                "The server's credential cannot be decrypted; the server's log says why.", code="not_connectable"
            ) from None
