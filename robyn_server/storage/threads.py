"""Threads, as a principal sees and changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from robyn_server.core.page import Page, page_of
from robyn_server.core.principal import Principal

from .database import Pool, acting, acting_as
from .errors import translated
from .json import from_json, to_json
from .queries import load, ordered

SORTABLE = ("thread_id", "status", "created_at", "updated_at", "state_updated_at")
_SQL = load("threads")


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    ids: Sequence[UUID] | None = None
    metadata: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadGraph:
    """The graph that last ran on a thread, None when none ever did, and the `configurable` it ran with."""

    graph_id: str | None
    configurable: dict[str, Any]


class Threads:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self, principal: Principal, thread_id: UUID, metadata: dict[str, Any], organization_id: UUID | None
    ) -> str | None:
        """The new thread as JSON text, or None when the id is taken (by whomever)."""
        async with translated():
            body: str | None = await self._pool.fetchval(
                _SQL["insert"], *acting(principal), thread_id, organization_id, to_json(metadata)
            )
        return body

    async def find(self, principal: Principal, thread_id: UUID) -> str | None:
        async with translated():
            body: str | None = await self._pool.fetchval(_SQL["get"], *acting(principal), thread_id)
        return body

    async def find_graph(self, principal: Principal, thread_id: UUID) -> ThreadGraph | None:
        """None when there is no such thread for this principal."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["graph_of"], *acting(principal), thread_id)
        return None if row is None else ThreadGraph(row["graph_id"], from_json(row["configurable"]) or {})

    async def merge_metadata(self, principal: Principal, thread_id: UUID, metadata: dict[str, Any]) -> str | None:
        async with acting_as(self._pool, principal) as connection:
            body: str | None = await connection.fetchval(_SQL["update"], thread_id, to_json(metadata))
        return body

    async def delete(self, principal: Principal, thread_id: UUID) -> bool:
        async with acting_as(self._pool, principal) as connection:
            return await connection.fetchval(_SQL["delete"], thread_id) is not None

    async def search(
        self,
        principal: Principal,
        where: ThreadFilter,
        *,
        limit: int,
        offset: int,
        sort_by: str = "updated_at",
        ascending: bool = False,
        select: list[str] | None = None,
    ) -> Page:
        if sort_by not in SORTABLE:
            raise ValueError(sort_by)
        direction = "asc" if ascending else "desc"
        query = ordered("threads", "search", f"t.{sort_by} {direction}, t.thread_id {direction}")
        async with translated():
            row = await self._pool.fetchrow(
                query,
                *acting(principal),
                where.ids,
                to_json(where.metadata),
                to_json(where.values),
                where.status,
                limit + 1,
                offset,
                select,
            )
        return page_of(row["body"], row["rows"], limit, offset) if row else page_of("[]", 0, limit, offset)
