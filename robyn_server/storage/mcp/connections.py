"""Connections of users to MCP servers, and what is needed to make them.

Works as agenthall_system, but for the listing and deletion of a principal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool, acting, acting_as
from robyn_server.storage.postgres.queries import load

_SQL = load("mcp/connections")
_PAGE = 500


@dataclass(frozen=True, slots=True)
class KeptConnection:
    """`is_fresh`: whether its access token is valid for a while, by the database's clock."""

    connection_id: UUID
    issuer: str
    sealed: bytes = field(repr=False)
    version: int
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class OwnConnection:
    """A connection as its user sees it."""

    connection_id: UUID
    organization_id: UUID | None
    url: str
    issuer: str
    scope: str | None
    expires_at: datetime
    created_at: datetime
    updated_at: datetime


class SealedConnection(NamedTuple):
    """`connection_id` is not part of what it is bound to."""

    owner_id: str
    organization_id: UUID | None
    url: str
    issuer: str
    sealed: bytes
    connection_id: UUID


class WaitingAuthorization(NamedTuple):
    """In the order in which a ciphertext is bound to them."""

    digest: bytes
    owner_id: str
    organization_id: UUID | None
    url: str
    sealed: bytes


class SealedClient(NamedTuple):
    issuer: str
    redirect_uri: str
    sealed: bytes


class McpConnections:
    def __init__(self, system: Pool) -> None:
        self._pool = system

    async def find(
        self, owner_id: str, organization_id: UUID | None, url: str, early: timedelta
    ) -> KeptConnection | None:
        query = _SQL["find"].bind(owner_id=owner_id, organization_id=organization_id, url=url, early=early)
        async with translated():
            row = await self._pool.fetchrow(*query)
        return None if row is None else KeptConnection(**dict(row))

    async def find_own(self, owner_id: str, connection_id: UUID) -> SealedConnection | None:
        query = _SQL["find_own"].bind(owner_id=owner_id, connection_id=connection_id)
        async with translated():
            row = await self._pool.fetchrow(*query)
        return None if row is None else SealedConnection(owner_id, connection_id=connection_id, **dict(row))

    async def put(
        self,
        owner_id: str,
        organization_id: UUID | None,
        url: str,
        issuer: str,
        scope: str | None,
        sealed: bytes,
        lifetime: timedelta,
    ) -> None:
        """Create the connection of the user with the server, or replace it."""
        query = _SQL["put"].bind(
            owner_id=owner_id,
            organization_id=organization_id,
            url=url,
            issuer=issuer,
            scope=scope,
            sealed=sealed,
            lifetime=lifetime,
        )
        async with translated():
            await self._pool.execute(*query)

    async def claim_refresh(self, kept: KeptConnection, lease: timedelta) -> bool:
        """Get the right to refresh this version of the tokens, for a while. Return False if another process has it."""
        query = _SQL["claim_refresh"].bind(connection_id=kept.connection_id, version=kept.version, lease=lease)
        async with translated():
            return bool(await self._pool.fetchval(*query))

    async def finish_refresh(self, kept: KeptConnection, sealed: bytes, lifetime: timedelta) -> None:
        """Nothing is written if the connection was deleted or made again meanwhile."""
        query = _SQL["finish_refresh"].bind(
            connection_id=kept.connection_id, version=kept.version, sealed=sealed, lifetime=lifetime
        )
        async with translated():
            await self._pool.execute(*query)

    async def release_refresh(self, kept: KeptConnection) -> None:
        async with translated():
            await self._pool.execute(
                *_SQL["release_refresh"].bind(connection_id=kept.connection_id, version=kept.version)
            )

    async def drop(self, kept: KeptConnection) -> None:
        """Delete a connection whose tokens are worth nothing any more."""
        async with translated():
            await self._pool.execute(*_SQL["drop"].bind(connection_id=kept.connection_id, version=kept.version))

    async def begin(
        self,
        digest: bytes,
        owner_id: str,
        organization_id: UUID | None,
        url: str,
        sealed: bytes,
        lifetime: timedelta,
    ) -> None:
        """Keep an authorization until its user comes back. Expired ones are deleted."""
        query = _SQL["begin"].bind(
            digest=digest,
            owner_id=owner_id,
            organization_id=organization_id,
            url=url,
            sealed=sealed,
            lifetime=lifetime,
        )
        async with translated():
            await self._pool.execute(*query)

    async def redeem(self, digest: bytes) -> WaitingAuthorization | None:
        """Delete an authorization and return it; None if it is unknown, was redeemed, or has expired."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["redeem"].bind(digest=digest))
        return None if row is None else WaitingAuthorization(digest, **dict(row))

    async def find_client(self, issuer: str, redirect_uri: str) -> bytes | None:
        async with translated():
            sealed: bytes | None = await self._pool.fetchval(
                *_SQL["find_client"].bind(issuer=issuer, redirect_uri=redirect_uri)
            )
        return sealed

    async def keep_client(self, issuer: str, redirect_uri: str, sealed: bytes) -> None:
        """Keep a registered client. That of a process that was faster stays."""
        async with translated():
            await self._pool.execute(*_SQL["keep_client"].bind(issuer=issuer, redirect_uri=redirect_uri, sealed=sealed))

    async def forget_client(self, issuer: str, redirect_uri: str) -> None:
        async with translated():
            await self._pool.execute(*_SQL["forget_client"].bind(issuer=issuer, redirect_uri=redirect_uri))

    async def walk_connections(self) -> AsyncIterator[SealedConnection]:
        after = UUID(int=0)
        while True:
            async with translated():
                rows = await self._pool.fetch(*_SQL["walk_connections"].bind(after=after, limit=_PAGE))
            for row in rows:
                yield SealedConnection(**dict(row))
            if len(rows) < _PAGE:
                return
            after = rows[-1]["connection_id"]

    async def reseal_connection(self, connection: SealedConnection, sealed: bytes) -> bool:
        query = _SQL["reseal_connection"].bind(
            connection_id=connection.connection_id, before=connection.sealed, sealed=sealed
        )
        async with translated():
            return bool(await self._pool.fetchval(*query))

    async def clients(self) -> list[SealedClient]:
        async with translated():
            return [SealedClient(**dict(row)) for row in await self._pool.fetch(*_SQL["clients"].bind())]

    async def reseal_client(self, client: SealedClient, sealed: bytes) -> bool:
        query = _SQL["reseal_client"].bind(
            issuer=client.issuer, redirect_uri=client.redirect_uri, before=client.sealed, sealed=sealed
        )
        async with translated():
            return bool(await self._pool.fetchval(*query))


class OwnConnections:
    """Connections as their user sees them, whatever other rows the user may reach. Works as agenthall_app."""

    def __init__(self, app: Pool) -> None:
        self._pool = app

    async def list(self, principal: Principal, limit: int) -> tuple[OwnConnection, ...]:
        async with translated():
            rows = await self._pool.fetch(*_SQL["list"].bind(**acting(_user(principal)), limit=limit))
        return tuple(OwnConnection(**dict(row)) for row in rows)

    async def delete(self, principal: Principal, connection_id: UUID) -> bool:
        async with acting_as(self._pool, _user(principal)) as connection:
            query = _SQL["delete"].bind(identity=principal.identity, connection_id=connection_id)
            return bool(await connection.fetchval(*query))


def _user(principal: Principal) -> Principal:
    """The principal without grants of handlers and permissions, which are for rows of other kinds."""
    return Principal(principal.identity)
