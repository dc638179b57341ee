"""Assistants, as a principal sees and changes them. What agent sync writes is in `synced_assistants.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.page import Page, page_of
from robyn_server.core.principal import Principal

from .database import Pool, acting, acting_as
from .errors import translated
from .json import from_json, to_json
from .queries import load, ordered

SORTABLE = ("assistant_id", "created_at", "updated_at", "name", "graph_id")
_SQL = load("assistants")


@dataclass(frozen=True, slots=True)
class FoundAssistant:
    """`body` is the assistant as JSON text. `is_fresh`: the catalogue was asked about it within the given time.

    `template_id`: the agent that it is `owner_id`'s copy of, if it is one.
    """

    body: str
    from_catalogue: bool
    is_fresh: bool
    template_id: UUID | None
    owner_id: str


@dataclass(frozen=True, slots=True)
class ResolvedAssistant:
    """What a run needs of an assistant, at the version it has now."""

    assistant_id: UUID
    version: int
    graph_id: str
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    from_catalogue: bool
    is_fresh: bool
    template_id: UUID | None
    owner_id: str


@dataclass(frozen=True, slots=True)
class LockedAssistant:
    assistant_id: UUID
    graph_id: str
    owner_id: str
    visibility: str
    config: dict[str, Any]
    from_catalogue: bool


@dataclass(frozen=True, slots=True)
class NewAssistant:
    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AssistantChange:
    """None leaves as it is; `metadata` is merged; `description` is set only with `sets_description`."""

    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    sets_description: bool = False
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AssistantFilter:
    metadata: dict[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None


class Assistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, principal: Principal, assistant_id: UUID, ttl: timedelta) -> FoundAssistant | None:
        async with translated():
            row = await self._pool.fetchrow(_SQL["get"], *acting(principal), assistant_id, ttl)
        if row is None:
            return None
        return FoundAssistant(row["body"], row["from_catalogue"], row["is_fresh"], row["template_id"], row["owner_id"])

    async def resolve(self, principal: Principal, assistant_id: UUID, ttl: timedelta) -> ResolvedAssistant | None:
        async with translated():
            row = await self._pool.fetchrow(_SQL["resolve"], *acting(principal), assistant_id, ttl)
        if row is None:
            return None
        return ResolvedAssistant(
            row["assistant_id"],
            row["version"],
            row["graph_id"],
            orjson.loads(row["config"]),
            orjson.loads(row["context"]),
            orjson.loads(row["metadata"]),
            row["from_catalogue"],
            row["is_fresh"],
            row["template_id"],
            row["owner_id"],
        )

    async def search(
        self,
        principal: Principal,
        where: AssistantFilter,
        *,
        limit: int,
        offset: int,
        sort_by: str = "created_at",
        ascending: bool = False,
        select: list[str] | None = None,
    ) -> Page:
        direction = "asc" if ascending else "desc"
        query = ordered("assistants", "search", f"a.{_sortable(sort_by)} {direction}, a.assistant_id {direction}")
        async with translated():
            row = await self._pool.fetchrow(
                query,
                *acting(principal),
                to_json(where.metadata),
                where.graph_id,
                None if where.name is None else f"%{_literal(where.name)}%",
                limit + 1,
                offset,
                select,
            )
        return page_of(row["body"], row["rows"], limit, offset) if row else page_of("[]", 0, limit, offset)

    async def create(self, principal: Principal, new: NewAssistant, organization_id: UUID | None) -> str | None:
        """The new assistant as JSON text, or None when the id is taken (by whomever)."""
        async with translated():
            body: str | None = await self._pool.fetchval(
                _SQL["insert"],
                *acting(principal),
                new.assistant_id,
                new.graph_id,
                new.name,
                new.description,
                to_json(new.config),
                to_json(new.context),
                to_json(new.metadata),
                organization_id,
            )
        return body

    def changing(self, principal: Principal) -> Any:
        """A transaction for `lock` and then `update` or `delete`."""
        return acting_as(self._pool, principal)

    @staticmethod
    async def lock(connection: Any, assistant_id: UUID) -> LockedAssistant | None:
        row = await connection.fetchrow(_SQL["lock"], assistant_id)
        if row is None:
            return None
        return LockedAssistant(
            row["assistant_id"],
            row["graph_id"],
            row["owner_id"],
            row["visibility"],
            from_json(row["config"]),
            row["from_catalogue"],
        )

    @staticmethod
    async def update(connection: Any, assistant_id: UUID, change: AssistantChange) -> str | None:
        """The assistant's next version as JSON text, or None when the principal may not change it."""
        body: str | None = await connection.fetchval(
            _SQL["update"],
            assistant_id,
            change.graph_id,
            change.name,
            change.description,
            change.sets_description,
            to_json(change.config),
            to_json(change.context),
            to_json(change.metadata),
        )
        return body

    @staticmethod
    async def delete(connection: Any, assistant_id: UUID, *, with_threads: bool) -> bool:
        deleted = await connection.fetchval(_SQL["delete"], assistant_id)
        if deleted is not None and with_threads:
            await _delete_threads(connection, assistant_id)
        return deleted is not None


async def _delete_threads(connection: Any, assistant_id: UUID) -> None:
    threads = [row["thread_id"] for row in await connection.fetch(_SQL["lock_threads"], str(assistant_id))]
    await connection.fetch(_SQL["lock_runs"], threads)
    await connection.execute(_SQL["delete_threads"], threads)


def _sortable(column: str) -> str:
    if column not in SORTABLE:
        raise ValueError(column)
    return column


def _literal(text: str) -> str:
    """`text` for LIKE, with nothing in it meaning anything else than itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
