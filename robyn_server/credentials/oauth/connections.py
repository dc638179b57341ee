"""Tokens of connections: found for a run, refreshed once, and revoked.

Rules
- A refresh token may be used once, so one process at a time refreshes a connection. It holds a lease in the database;
  the others wait for its result.
- A connection whose refresh is refused is deleted: the user has to connect again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog

from robyn_server.concurrency.single_flight import SingleFlight
from robyn_server.core.errors import Misconfigured, NotFound
from robyn_server.core.mcp_credentials import CredentialEntry
from robyn_server.credentials.key_ring import SecretUnreadable
from robyn_server.credentials.keys import Keys
from robyn_server.credentials.references import CredentialUnusable
from robyn_server.credentials.sealing import connection_binding
from robyn_server.credentials.token_requests import IssuedToken, TokenRefused, fetch_json, request_token, with_client
from robyn_server.storage.mcp.connections import KeptConnection, McpConnections

from .authorizations import Authorizations, OpenClient
from .clients import client_of

EARLY = timedelta(seconds=60)
"""A token that is valid for less is refreshed: a run should not begin with it."""
LEASE = timedelta(seconds=45)
"""Longer than a request takes, so that no other process uses the same refresh token."""
POLL_SECONDS = 0.1
_GONE = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
_log = structlog.get_logger(__name__)


class NotConnected(Exception):
    """The user has to open `url` first; None: no authorization was begun."""

    def __init__(self, url: str | None) -> None:
        super().__init__("the user has not connected it")
        self.url = url


@dataclass(frozen=True, slots=True)
class _User:
    owner_id: str
    organization_id: UUID | None
    url: str
    tokens: dict[str, Any] = field(default_factory=dict, repr=False, compare=False, hash=False)


class Connections:
    def __init__(
        self, stored: McpConnections, keys: Keys, authorizations: Authorizations, open_client: OpenClient
    ) -> None:
        self._stored = stored
        self._keys = keys
        self._authorizations = authorizations
        self._open_client = open_client
        self._refreshes: SingleFlight[str | None] = SingleFlight()

    async def token(
        self, entry: CredentialEntry, secret: str, owner_id: str, organization_id: UUID | None, *, begins: bool = True
    ) -> str:
        """The user's access token. `begins`: whether to begin an authorization for a user without one.

        Raises NotConnected, CredentialUnusable, TokenRefused, SecretUnreadable.
        """
        user = _User(owner_id, organization_id, entry.url)
        kept = await self._find(user)
        found = None
        if kept is not None:
            found = self._access_token(user, kept) if kept.is_fresh else await self._refreshed(user, kept)
        if found is None:
            begun = await self._authorizations.begin(entry, secret, owner_id, organization_id) if begins else None
            raise NotConnected(begun)
        return found

    async def revocation(self, owner_id: str, connection_id: UUID) -> _Revocation:
        """Read the tokens of a connection, to revoke them later. Raises NotFound."""
        kept = await self._stored.find_own(owner_id, connection_id)
        if kept is None:
            raise NotFound("Connection not found.")
        try:
            binding = connection_binding(kept.owner_id, kept.organization_id, kept.url, kept.issuer)
            return _Revocation(orjson.loads(self._keys.open(kept.sealed, binding)), self._open_client)
        except (SecretUnreadable, Misconfigured) as error:
            _log.warning("a connection cannot be revoked at its server", reason=str(error))
            return _Revocation({}, self._open_client)

    async def revoke(self, owner_id: str, connection_id: UUID) -> None:
        """Revoke the tokens of a connection that is about to be deleted. One that is gone already is left out."""
        with contextlib.suppress(NotFound):
            await (await self.revocation(owner_id, connection_id)).send()

    async def _find(self, user: _User) -> KeptConnection | None:
        return await self._stored.find(user.owner_id, user.organization_id, user.url, EARLY)

    def _opened(self, user: _User, kept: KeptConnection) -> dict[str, Any]:
        binding = connection_binding(user.owner_id, user.organization_id, user.url, kept.issuer)
        tokens: dict[str, Any] = orjson.loads(self._keys.open(kept.sealed, binding))
        return tokens

    def _access_token(self, user: _User, kept: KeptConnection) -> str:
        return str(self._opened(user, kept)["access_token"])

    async def _refreshed(self, user: _User, kept: KeptConnection) -> str | None:
        """The new access token; None when the user has to connect again."""
        return await self._refreshes.share(kept.connection_id, lambda: self._refresh_once(user, kept))

    async def _refresh_once(self, user: _User, kept: KeptConnection) -> str | None:
        """Refresh, or wait for the process that does."""
        end = asyncio.get_running_loop().time() + LEASE.total_seconds()
        current: KeptConnection | None = kept
        while current is not None and not current.is_fresh:
            if await self._stored.claim_refresh(current, LEASE):
                return await self._refresh(user, current)
            if asyncio.get_running_loop().time() > end:
                raise CredentialUnusable("its token could not be refreshed in time")
            await asyncio.sleep(POLL_SECONDS)
            current = await self._find(user)
        return None if current is None else self._access_token(user, current)

    async def _refresh(self, user: _User, kept: KeptConnection) -> str | None:
        tokens = self._opened(user, kept)
        if not tokens["refresh_token"]:
            await self._stored.drop(kept)
            return None
        form = {
            "grant_type": "refresh_token",
            "refresh_token": tokens["refresh_token"],
            "resource": tokens["resource"],
        }
        try:
            async with self._open_client() as http:
                issued = await request_token(http, tokens["token_endpoint"], form, client_of(tokens["client"]))
        except TokenRefused as refused:
            if refused.code in _GONE:
                await self._stored.drop(kept)
                return None
            await self._stored.release_refresh(kept)
            raise
        await self._keep(user, kept, tokens, issued)
        return issued.access_token

    async def _keep(self, user: _User, kept: KeptConnection, tokens: dict[str, Any], issued: IssuedToken) -> None:
        refresh = issued.refresh_token or tokens["refresh_token"]
        renewed = {**tokens, "access_token": issued.access_token, "refresh_token": refresh}
        binding = connection_binding(user.owner_id, user.organization_id, user.url, kept.issuer)
        sealed = self._keys.seal(orjson.dumps(renewed).decode(), binding)
        await self._stored.finish_refresh(kept, sealed, timedelta(seconds=issued.seconds))


class _Revocation:
    """Call it after the connection is deleted: nothing of it is used any more, whatever the server answers."""

    def __init__(self, tokens: dict[str, Any], open_client: OpenClient) -> None:
        self._tokens = tokens
        self._open_client = open_client

    async def send(self) -> None:
        """RFC 7009. A failure is logged."""
        endpoint = self._tokens.get("revocation_endpoint")
        if endpoint is None:
            return
        client = client_of(self._tokens["client"])
        async with self._open_client() as http:
            for kind in ("refresh_token", "access_token"):
                if token := self._tokens.get(kind):
                    fields, headers = with_client({"token": token, "token_type_hint": kind}, client)
                    try:
                        await fetch_json(http, "POST", endpoint, data=fields, headers=headers)
                    except TokenRefused as refused:
                        _log.warning("tokens were not revoked at their server", reason=str(refused))
