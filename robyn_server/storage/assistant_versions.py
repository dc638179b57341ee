"""Versions of assistants as a principal sees them. The database records one for each write of an assistant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from robyn_server.core.access.principal import Principal

from .postgres.errors import translated
from .postgres.json import from_json, to_json
from .postgres.pools import Pool, acting
from .postgres.queries import load

_SQL = load("assistant_versions")


@dataclass(frozen=True, slots=True)
class AssistantVersion:
    graph_id: str
    config: dict[str, Any]
    context: dict[str, Any]


class AssistantVersions:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(
        self, principal: Principal, assistant_id: UUID, metadata: dict[str, Any], *, limit: int, offset: int
    ) -> str:
        """The versions whose metadata contains `metadata`, newest first, as JSON text."""
        query = _SQL["search"].bind(
            **acting(principal), assistant_id=assistant_id, metadata=to_json(metadata), limit=limit, offset=offset
        )
        async with translated():
            body: str = await self._pool.fetchval(*query)
        return body

    @staticmethod
    async def find(connection: Any, assistant_id: UUID, version: int) -> AssistantVersion | None:
        row = await connection.fetchrow(*_SQL["find"].bind(assistant_id=assistant_id, version=version))
        if row is None:
            return None
        return AssistantVersion(row["graph_id"], from_json(row["config"]), from_json(row["context"]))

    @staticmethod
    async def restore(connection: Any, assistant_id: UUID, version: int) -> str | None:
        """Make the version current and return the assistant as JSON text; None when the principal may not change it."""
        body: str | None = await connection.fetchval(*_SQL["restore"].bind(assistant_id=assistant_id, version=version))
        return body
