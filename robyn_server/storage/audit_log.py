"""The audit trail: who changed which row. Triggers write it (`migrations/`), and this module reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.access.principal import Principal

from .postgres.errors import translated
from .postgres.pools import Pool, acting
from .postgres.queries import Query, load, load_templates

_SQL = load("audit_log")
_TEMPLATES = load_templates("audit_log")
_BOUNDS = ("since", "until")
_NAMED = ("resource_id", "actor")
"""Filters with indexes of their own, alone and within an organization. The first that is given is walked."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None matches everything. `since` is included, `until` is not."""

    organization_id: UUID | None = None
    actor: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The filters that are given, by their names in the SQL."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class AuditPosition:
    """An entry's place in the order of the trail."""

    at: datetime
    audit_id: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries as JSON text, the newest first. `after`: where the next page begins; None: this one is the last."""

    bodies: Sequence[str]
    after: AuditPosition | None


class AuditLog:
    """Reads as agenthall_app, under the policies of the principal. Sweeps as agenthall_system."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(
        self, principal: Principal, where: AuditFilter, *, after: AuditPosition | None, limit: int
    ) -> AuditPage:
        """A page reads at most 5,000 entries, so it may have fewer than `limit` and still not be the last."""
        values: Mapping[str, Any] = where.values()
        if after is not None:
            values = {**values, "at": after.at, "audit_id": after.audit_id}
        query = _search(frozenset(values))
        async with translated():
            rows = await self._pool.fetch(*query.bind(**acting(principal), **values, last=limit + 1))
        return _page(rows, limit)

    async def sweep(self, keep: timedelta, limit: int) -> int:
        """Delete at most `limit` entries that are older than `keep`, and return how many. Raises Unavailable."""
        async with translated():
            return int(await self._pool.fetchval(*_SQL["sweep"].bind(keep=keep, limit=limit)))


@cache
def _search(given: frozenset[str]) -> Query:
    named = next((name for name in _NAMED if name in given), None)
    walked = [name for name in ("organization_id" in given and "organization", named) if name]
    bounds = [name for name in _BOUNDS if name in given] + (["after"] if "audit_id" in given else [])
    filters = sorted(given - {named, "organization_id", *_BOUNDS, "at", "audit_id"})
    return _TEMPLATES["search"].compose(
        path=f"by_{'_'.join(walked)}" if walked else "everything",
        index=f"index_of_{walked[-1] if walked else 'everything'}",
        bounds=bounds,
        filters=filters,
    )


def _page(rows: Sequence[asyncpg.Record], limit: int) -> AuditPage:
    matching = [row for row in rows if row["is_match"]]
    if len(matching) > limit:
        return AuditPage([row["body"] for row in matching[:limit]], _position(matching[limit - 1]))
    last = next((row for row in rows if row["is_cut"]), None)
    return AuditPage([row["body"] for row in matching], None if last is None else _position(last))


def _position(row: asyncpg.Record) -> AuditPosition:
    return AuditPosition(row["at"], row["audit_id"])
