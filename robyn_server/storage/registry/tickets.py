"""Tickets for WebSockets, and the keys that seal them. Works as agenthall_system."""

from __future__ import annotations

from datetime import datetime, timedelta

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/tickets")


class SocketTickets:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, digest: bytes, sealed: bytes, lifetime: timedelta) -> datetime:
        """Store a ticket and return when it expires, by the database's clock."""
        async with translated():
            query = _SQL["create"].bind(digest=digest, sealed=sealed, lifetime=lifetime)
            expires_at: datetime = await self._pool.fetchval(*query)
        return expires_at

    async def redeem(self, digest: bytes) -> bytes | None:
        """Return the sealed content and delete the ticket; None when it is unknown, redeemed or expired."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["redeem"].bind(digest=digest))
        return row["sealed"] if row is not None and row["is_valid"] else None

    async def get_key(self, purpose: str) -> bytes:
        async with translated():
            key: bytes = await self._pool.fetchval(*_SQL["get_key"].bind(purpose=purpose))
        return key
