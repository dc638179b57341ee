"""API keys: rows in, core values out. Works as agenthall_system; nobody else may read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from robyn_server.core.api_key import ApiKeyText

from .database import Pool
from .errors import translated
from .queries import load

KEYS = "agenthall_keys"
"""Channel: the prefix of a key that was revoked just now."""

_SQL = load("api_keys")


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """`scopes` None: not limited. `lifetime` None: without end."""

    name: str
    identity: str
    kind: str
    organizations: frozenset[UUID]
    scopes: frozenset[str] | None
    lifetime: timedelta | None
    created_by: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """All of a key but its secret. Times are the database's."""

    prefix: str
    name: str
    identity: str
    kind: str
    organizations: list[UUID]
    scopes: list[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    is_expired: bool

    @property
    def status(self) -> str:
        """active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.is_expired else "active"


@dataclass(slots=True)
class KnownKey:
    """What proves a key. `until`: on the monotonic clock of this process, from what the database's clock said when it was read.

    `expires_at`: the same moment by the database's clock, to be shown.
    """

    digest: bytes
    identity: str
    kind: str
    organizations: frozenset[UUID]
    scopes: frozenset[str] | None
    is_revoked: bool
    until: float
    is_use_unwritten: bool
    expires_at: datetime | None

    @property
    def is_expired(self) -> bool:
        return time.monotonic() >= self.until


class ApiKeys:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, text: ApiKeyText, new: NewApiKey) -> ApiKey:
        async with translated():
            row = await self._pool.fetchrow(
                _SQL["insert"],
                text.prefix,
                text.digest,
                new.name,
                new.identity,
                new.kind,
                sorted(new.organizations),
                None if new.scopes is None else sorted(new.scopes),
                new.lifetime,
                new.created_by,
            )
        assert row is not None  # noqa: S101 - an insert that returns
        return _api_key(row)

    async def find(self, prefix: str) -> KnownKey | None:
        """One indexed lookup."""
        asked_at = time.monotonic()
        async with translated():
            row = await self._pool.fetchrow(_SQL["find"], prefix)
        if row is None:
            return None
        left = row["seconds_left"]
        return KnownKey(
            row["digest"],
            row["identity"],
            row["kind"],
            frozenset(row["organizations"]),
            None if row["scopes"] is None else frozenset(row["scopes"]),
            row["is_revoked"],
            float("inf") if left is None else asked_at + left,
            row["is_use_unwritten"],
            row["expires_at"],
        )

    async def used(self, prefix: str) -> None:
        """Writes no more than once a minute, however many processes ask."""
        async with translated():
            await self._pool.execute(_SQL["used"], prefix)

    async def search(self, organization: UUID | None, *, limit: int, offset: int) -> tuple[list[ApiKey], int]:
        """A page, newest first, and how many there are (0 past the last page)."""
        async with translated():
            rows = await self._pool.fetch(_SQL["search"], organization, limit, offset)
        return [_api_key(row) for row in rows], rows[0]["total"] if rows else 0

    async def revoke(self, prefix: str) -> ApiKey | None:
        """None when there is no such key. Servers that remember it are told after the commit."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["revoke"], prefix)
            if row is None:
                return None
            await self._pool.execute(_SQL["tell_revoked"], prefix)
        return _api_key(row)


def _api_key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        prefix=row["prefix"],
        name=row["name"],
        identity=row["identity"],
        kind=row["kind"],
        organizations=list(row["organizations"]),
        scopes=None if row["scopes"] is None else list(row["scopes"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        is_expired=row["is_expired"],
    )
