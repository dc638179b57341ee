"""Threads as a principal sees and changes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from robyn_server.core.access.grants import Condition
from robyn_server.core.access.principal import Principal
from robyn_server.core.page import Page
from robyn_server.core.ttl import PruneStrategy, ThreadTtl

from .postgres.errors import translated
from .postgres.json import from_json, to_json
from .postgres.pools import Connection, Pool, acting, acting_as
from .postgres.queries import Bound, Query, load, load_templates
from .postgres.search import Kind, Step, search_page, steps, whole_walk

SORTABLE = ("thread_id", "status", "created_at", "updated_at", "state_updated_at")
FILTERS = ("metadata", "values", "status", "text")
_SQL = load("threads")
_TEMPLATES = load_templates("threads")


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    ids: Sequence[UUID] | None = None
    metadata: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    status: str | None = None
    text: str | None = None
    """Words that must all occur in the messages. The last one may be the beginning of a word."""


@dataclass(frozen=True, slots=True)
class ThreadGraph:
    """The graph that last ran on a thread (None: no run yet) and the `configurable` of that run."""

    graph_id: str | None
    configurable: dict[str, Any]


class LockedThread:
    """`is_busy`: a run is executed on it, or about to be."""

    def __init__(self, connection: Connection, thread_id: UUID, graph: ThreadGraph, is_busy: bool) -> None:
        self._connection = connection
        self._thread_id = thread_id
        self.graph = graph
        self.is_busy = is_busy

    async def set_state(self, values: bytes, status: str, interrupts: dict[str, Any]) -> None:
        """Store the state that searches and listings show. `values` is JSON text."""
        query = _SQL["set_state"].bind(
            thread_id=self._thread_id, values=values.decode(), status=status, interrupts=to_json(interrupts)
        )
        await self._connection.execute(*query)


class Threads:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self,
        principal: Principal,
        thread_id: UUID,
        metadata: dict[str, Any],
        organization_id: UUID | None,
        ttl: ThreadTtl | None = None,
    ) -> str | None:
        """Create a thread and return it as JSON text; None when the id is taken."""
        async with translated():
            body: str | None = await self._pool.fetchval(
                *_SQL["create"].bind(
                    **acting(principal),
                    thread_id=thread_id,
                    organization_id=organization_id,
                    metadata=to_json(metadata),
                    **_ttl_values(ttl),
                )
            )
        return body

    async def find(self, principal: Principal, thread_id: UUID) -> str | None:
        async with translated():
            query = _SQL["find"].bind(**acting(principal), thread_id=thread_id)
            body: str | None = await self._pool.fetchval(*query)
        return body

    async def find_with_ttl(self, principal: Principal, thread_id: UUID) -> str | None:
        """Like `find`, with a member `ttl` if the thread has one."""
        async with translated():
            query = _SQL["find_with_ttl"].bind(**acting(principal), thread_id=thread_id)
            row = await self._pool.fetchrow(*query)
        if row is None or row["ttl"] is None:
            return None if row is None else row["body"]
        return f'{row["body"][:-1]}, "ttl" : {row["ttl"]}}}'

    async def find_storage(self, principal: Principal, thread_id: UUID) -> str | None:
        """The bytes that the states of a thread take, as JSON text; None where there is no such thread."""
        async with translated():
            query = _SQL["find_storage"].bind(**acting(principal), thread_id=thread_id)
            body: str | None = await self._pool.fetchval(*query)
        return body

    async def find_graph(self, principal: Principal, thread_id: UUID) -> ThreadGraph | None:
        async with translated():
            query = _SQL["find_graph"].bind(**acting(principal), thread_id=thread_id)
            row = await self._pool.fetchrow(*query)
        return None if row is None else ThreadGraph(row["graph_id"], from_json(row["configurable"]) or {})

    @asynccontextmanager
    async def lock(self, principal: Principal, thread_id: UUID) -> AsyncIterator[LockedThread | None]:
        """The thread, on which nobody starts a run until the block ends; None where there is none."""
        async with acting_as(self._pool, principal) as connection:
            row = await connection.fetchrow(*_SQL["lock"].bind(thread_id=thread_id))
            if row is None:
                yield None
                return
            graph = ThreadGraph(row["graph_id"], from_json(row["configurable"]) or {})
            yield LockedThread(connection, thread_id, graph, row["is_busy"])

    async def update(
        self, principal: Principal, thread_id: UUID, metadata: dict[str, Any], ttl: ThreadTtl | None
    ) -> str | None:
        """Merge metadata, and set the ttl if one is given. Return the thread as JSON text; None where there is none."""
        async with acting_as(self._pool, principal) as connection:
            if ttl is not None:
                await connection.execute(*_SQL["update_ttl"].bind(thread_id=thread_id, **_ttl_values(ttl)))
            query = _SQL["update_metadata"].bind(thread_id=thread_id, metadata=to_json(metadata))
            body: str | None = await connection.fetchval(*query)
        return body

    async def copy(
        self, principal: Principal, thread_id: UUID, new_id: UUID, metadata: Mapping[str, Any] | None = None
    ) -> str | None:
        """Copy a thread with its checkpoints and return the copy as JSON text; None where there is none.

        `metadata`: merged into that of the copy.
        """
        async with acting_as(self._pool, principal) as connection:
            query = _SQL["copy"].bind(
                thread_id=thread_id, new_id=new_id, identity=principal.identity, metadata=to_json(metadata or {})
            )
            body: str | None = await connection.fetchval(*query)
            if body is not None:
                await connection.execute(*_SQL["copy_checkpoints"].bind(thread_id=thread_id, new_id=new_id))
        return body

    async def count(self, principal: Principal, where: ThreadFilter) -> int:
        """Count what a search finds. It reads as many index entries as it counts, if the filters are common."""
        values = dict.fromkeys(FILTERS) | _filter_values(where)
        async with translated():
            count: int = await self._pool.fetchval(*_SQL["count"].bind(**acting(principal), **values))
        return count

    async def delete(self, principal: Principal, thread_id: UUID) -> bool:
        async with acting_as(self._pool, principal) as connection:
            return await connection.fetchval(*_SQL["delete"].bind(thread_id=thread_id)) is not None

    async def prune(self, principal: Principal, thread_id: UUID, strategy: PruneStrategy) -> bool:
        """Return False, and change nothing, where there is no such thread or a run of it is pending or running."""
        async with translated():
            query = _SQL["prune"].bind(
                **acting(principal), request_id=principal.request_id, thread_id=thread_id, strategy=strategy
            )
            pruned: bool = await self._pool.fetchval(*query)
        return pruned

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
        extract: Mapping[str, Sequence[str]] | None = None,
    ) -> Page:
        """`extract`: lists of a column and steps below it, by aliases. Threads get their values as `extracted`."""
        values = _filter_values(where)
        order = (f"by_{sort_by}", "ascending" if ascending else "descending")
        page = {
            **acting(principal),
            "fields": select,
            "extract": to_json(extract or None),
            "offset": offset,
            "last": offset + limit,
        }
        readable = _readable(principal)
        is_granted = readable is None

        async def run(step: Step) -> Any:
            if where.ids is not None:
                query = _search_by_ids(readable or "everybody", tuple(values), *order)
                bound = query.bind(**page, **values, ids=where.ids)
            elif step.kind is Kind.IN_ORDER and readable is None:
                bound = _search_granted(page, values, sort_by, not ascending, step.most)
            elif step.kind is Kind.IN_ORDER:
                query = _search_in_order(readable, tuple(values), *order, step.depth)
                bound = query.bind(**page, **values, most=step.most)
            else:
                given = dict.fromkeys(FILTERS) | values
                bound = _search_by_filters(*order).bind(**page, **given, most=step.most)
            async with translated():
                return await self._pool.fetchrow(*bound)

        is_filtered = (bool(values) or is_granted) and where.ids is None
        last = offset + limit
        return await search_page(
            run, steps(last) if is_filtered else iter([whole_walk(last)]), limit=limit, offset=offset
        )


def _ttl_values(ttl: ThreadTtl | None) -> dict[str, Any]:
    return {"ttl": ttl and ttl.lifetime, "ttl_strategy": ttl and ttl.strategy}


def _filter_values(where: ThreadFilter) -> dict[str, Any]:
    """The values of the filters that are given, by their names in the SQL."""
    given = {
        "metadata": to_json(where.metadata or None),
        "values": to_json(where.values or None),
        "status": where.status,
        "text": where.text,
    }
    return {name: value for name, value in given.items() if value is not None}


def _readable(principal: Principal) -> str | None:
    """The fragment of the rows that an index of an order has for the principal; None where its grants have
    conditions."""
    if principal.grants is None:
        return "everybody" if principal.is_admin else "owner"
    conditions = principal.grants.threads
    if conditions == ():
        return "everybody"
    return "owner" if conditions == (Condition(own=principal.identity),) else None


def _search_granted(page: dict[str, Any], values: dict[str, Any], order: str, descending: bool, most: int) -> Bound:
    given = dict.fromkeys(FILTERS) | values
    return _SQL["search_granted"].bind(**page, **given, order=order, descending=descending, most=most)


@cache
def _search_in_order(readable: str, filters: tuple[str, ...], order: str, direction: str, depth: str) -> Query:
    return _TEMPLATES["search_in_order"].compose(
        readable=readable, index=f"{readable}s_index", filters=filters, order=order, direction=direction, depth=depth
    )


@cache
def _search_by_filters(order: str, direction: str) -> Query:
    return _TEMPLATES["search_by_filters"].compose(order=order, direction=direction)


@cache
def _search_by_ids(readable: str, filters: tuple[str, ...], order: str, direction: str) -> Query:
    return _TEMPLATES["search_by_ids"].compose(readable=readable, filters=filters, order=order, direction=direction)
