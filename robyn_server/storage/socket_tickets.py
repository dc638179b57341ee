"""Tickets for sockets, and the key of resume tokens. Works as agenthall_system."""

from __future__ import annotations

from datetime import datetime, timedelta

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("socket_tickets")


class SocketTickets:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def insert(self, digest: bytes, sealed: bytes, lifetime: timedelta) -> datetime:
        """When it expires, by the database's clock."""
        async with translated():
            expires_at: datetime = await self._pool.fetchval(_SQL["insert"], digest, sealed, lifetime)
        return expires_at

    async def take(self, digest: bytes) -> bytes | None:
        """What is sealed in it, once; None when there is none, it was taken already, or has expired."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["take"], digest)
        return row["sealed"] if row is not None and row["is_valid"] else None

    async def key(self, purpose: str) -> bytes:
        async with translated():
            key: bytes = await self._pool.fetchval(_SQL["key"], purpose)
        return key
