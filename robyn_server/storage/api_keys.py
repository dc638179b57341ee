"""API keys. Works as agenthall_system: no other role may read the table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import asyncpg

from robyn_server.core.access.api_key import ApiKeyText
from robyn_server.core.access.principal import Principal

from .postgres.errors import translated
from .postgres.pools import Pool, attributed
from .postgres.queries import Query, load, load_templates
from .postgres.search import Kind, steps, whole_walk

KEYS = "agenthall_keys"
"""Channel. Payload: the prefix of a key that was just rotated or revoked."""

_SQL = load("api_keys")
_TEMPLATES = load_templates("api_keys")


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to create. `scopes`, `agents`, `assistants` None: unrestricted. `lifetime` None: it never expires."""

    name: str
    identity: str
    kind: str
    organizations: frozenset[UUID]
    scopes: frozenset[str] | None
    agents: frozenset[str] | None
    assistants: frozenset[UUID] | None
    lifetime: timedelta | None
    created_by: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. Times are the database's."""

    prefix: str
    name: str
    identity: str
    kind: str
    organizations: list[UUID]
    scopes: list[str] | None
    agents: list[str] | None
    assistants: list[UUID] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None
    previous_until: datetime | None
    last_used_at: datetime | None
    is_expired: bool

    @property
    def status(self) -> str:
        """active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.is_expired else "active"


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """The secret before the last rotation. `until`, `expires_at`: as in KnownKey."""

    digest: bytes
    until: float
    expires_at: datetime

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until


@dataclass(slots=True)
class KnownKey:
    """A key as its verification needs it.

    `until` is the expiry on the monotonic clock of this process; `expires_at` is the same moment by the database's
    clock.
    """

    digest: bytes
    identity: str
    kind: str
    organizations: frozenset[UUID]
    scopes: frozenset[str] | None
    agents: frozenset[str] | None
    assistants: frozenset[UUID] | None
    is_revoked: bool
    until: float
    is_use_unwritten: bool
    expires_at: datetime | None
    previous: PreviousSecret | None = None

    @property
    def is_expired(self) -> bool:
        return time.monotonic() >= self.until


class ApiKeys:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, text: ApiKeyText, new: NewApiKey) -> ApiKey:
        async with translated():
            row = await self._pool.fetchrow(
                *_SQL["create"].bind(
                    prefix=text.prefix,
                    digest=text.digest,
                    name=new.name,
                    identity=new.identity,
                    kind=new.kind,
                    organizations=sorted(new.organizations),
                    scopes=None if new.scopes is None else sorted(new.scopes),
                    agents=None if new.agents is None else sorted(new.agents),
                    assistants=None if new.assistants is None else sorted(new.assistants),
                    lifetime=new.lifetime,
                    created_by=new.created_by,
                    request_id=new.request_id,
                )
            )
        assert row is not None  # noqa: S101 - an insert that returns
        return _api_key(row)

    async def find(self, prefix: str) -> KnownKey | None:
        asked_at = time.monotonic()
        async with translated():
            row = await self._pool.fetchrow(*_SQL["find"].bind(prefix=prefix))
        if row is None:
            return None
        left = row["seconds_left"]
        return KnownKey(
            row["digest"],
            row["identity"],
            row["kind"],
            frozenset(row["organizations"]),
            None if row["scopes"] is None else frozenset(row["scopes"]),
            None if row["agents"] is None else frozenset(row["agents"]),
            None if row["assistants"] is None else frozenset(row["assistants"]),
            row["is_revoked"],
            float("inf") if left is None else asked_at + left,
            row["is_use_unwritten"],
            row["expires_at"],
            _previous(row, asked_at),
        )

    async def touch(self, prefixes: Iterable[str]) -> None:
        """Record that the keys are used: each at most once a minute for all processes."""
        async with translated():
            await self._pool.execute(*_SQL["touch"].bind(prefixes=sorted(prefixes)))

    async def get(self, prefix: str) -> ApiKey | None:
        async with translated():
            row = await self._pool.fetchrow(*_SQL["get"].bind(prefix=prefix))
        return None if row is None else _api_key(row)

    async def rotate(self, text: ApiKeyText, overlap: timedelta, *, by: Principal | None = None) -> ApiKey | None:
        """Make `text` the secret of its key; None when no key with its prefix is active."""
        async with translated():
            row = await self._pool.fetchrow(
                *_SQL["rotate"].bind(**attributed(by), prefix=text.prefix, digest=text.digest, overlap=overlap)
            )
            if row is None:
                return None
            await self._notify_changed(text.prefix)
        return _api_key(row)

    async def search(self, organization: UUID | None, *, limit: int, offset: int) -> tuple[list[ApiKey], int]:
        """A page, newest first, and the number of all keys. Above 1000 it is a lower bound."""
        last = offset + limit
        named = {} if organization is None else {"organization_id": organization}
        rows: list[asyncpg.Record] = []
        async with translated():
            for step in [whole_walk(last)] if organization is None else steps(last):
                query = _search(step.kind, tuple(named), step.depth)
                rows = await self._pool.fetch(*query.bind(**named, most=step.most, offset=offset, last=last))
                if not any(row["is_cut"] for row in rows):
                    break
            counted = await self._pool.fetchval(*_count(tuple(named)).bind(**named))
        return [_api_key(row) for row in rows[:limit]], max(counted, offset + len(rows) if rows else 0)

    async def revoke(self, prefix: str, *, by: Principal | None = None) -> ApiKey | None:
        """Revoke a key; None when there is no such key."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["revoke"].bind(**attributed(by), prefix=prefix))
            if row is None:
                return None
            await self._notify_changed(prefix)
        return _api_key(row)

    async def _notify_changed(self, prefix: str) -> None:
        """After the commit: servers that cache the key drop it."""
        await self._pool.execute(*_SQL["notify_changed"].bind(prefix=prefix))


@cache
def _search(kind: Kind, filters: tuple[str, ...], depth: str) -> Query:
    if kind is Kind.IN_ORDER:
        return _TEMPLATES["search_in_order"].compose(filters=filters, depth=depth)
    return _TEMPLATES["search_by_filters"].compose(filters=filters, depth=depth)


@cache
def _count(filters: tuple[str, ...]) -> Query:
    return _TEMPLATES["count"].compose(filters=filters)


def _previous(row: asyncpg.Record, asked_at: float) -> PreviousSecret | None:
    if row["previous_digest"] is None:
        return None
    return PreviousSecret(row["previous_digest"], asked_at + row["previous_seconds_left"], row["previous_until"])


def _api_key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        prefix=row["prefix"],
        name=row["name"],
        identity=row["identity"],
        kind=row["kind"],
        organizations=list(row["organizations"]),
        scopes=None if row["scopes"] is None else list(row["scopes"]),
        agents=None if row["agents"] is None else list(row["agents"]),
        assistants=None if row["assistants"] is None else list(row["assistants"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        rotated_at=row["rotated_at"],
        previous_until=row["previous_until"],
        last_used_at=row["last_used_at"],
        is_expired=row["is_expired"],
    )
