"""Assistants as a principal sees and changes them. Agent sync writes them in `agent_sync/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from robyn_server.core.access.grants import Condition
from robyn_server.core.access.principal import Principal
from robyn_server.core.catalogue.fields import Origin
from robyn_server.core.ids import user_assistant_id
from robyn_server.core.page import Page

from .postgres.errors import translated
from .postgres.json import from_json, to_json
from .postgres.pools import Pool, acting, acting_as
from .postgres.queries import Bound, Query, load, load_templates
from .postgres.search import Kind, Step, search_page, steps

SORTABLE = ("assistant_id", "created_at", "updated_at", "name", "graph_id")
FILTERS = ("graph_ids", "metadata", "name")
_SQL = load("assistants")
_TEMPLATES = load_templates("assistants")


@dataclass(frozen=True, slots=True)
class FoundAssistant:
    """An assistant as JSON text. `is_fresh`: the catalogue was asked about it within the given TTL.

    `template_id`: the template agent, if the assistant is `owner_id`'s copy of one.
    """

    body: str
    origin: Origin
    is_fresh: bool
    template_id: UUID | None
    owner_id: str


@dataclass(frozen=True, slots=True)
class ResolvedAssistant:
    """The fields of an assistant that a run needs, at the current version."""

    assistant_id: UUID
    version: int
    graph_id: str
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    origin: Origin
    is_fresh: bool
    template_id: UUID | None
    owner_id: str


@dataclass(frozen=True, slots=True)
class CallableAssistant:
    """An assistant that an agent may call as a tool. `agent_id`: of a user's copy, the id of the agent."""

    agent_id: UUID
    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: dict[str, Any]
    context: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FormerAssistant:
    """`retired_at`: RFC 3339, None if it is not retired yet. `unserved_graph`: of a default assistant, its graph."""

    name: str
    retired_at: str | None
    unserved_graph: str | None


@dataclass(frozen=True, slots=True)
class LockedAssistant:
    assistant_id: UUID
    graph_id: str
    owner_id: str
    visibility: str
    config: dict[str, Any]
    metadata: dict[str, Any]
    origin: Origin


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
    """The fields to change; None keeps a field.

    `metadata` is merged. `description` is set only with `sets_description`.
    """

    graph_id: str | None = None
    name: str | None = None
    description: str | None = None
    sets_description: bool = False
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AssistantFilter:
    """`graph_ids`: the assistant has one of these graphs. `name`: a part of the name, in any case."""

    graph_ids: Sequence[str] | None = None
    metadata: dict[str, Any] | None = None
    name: str | None = None


class Assistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, principal: Principal, assistant_id: UUID, ttl: timedelta) -> FoundAssistant | None:
        async with translated():
            query = _SQL["find"].bind(**acting(principal), assistant_id=assistant_id, ttl=ttl)
            row = await self._pool.fetchrow(*query)
        if row is None:
            return None
        return FoundAssistant(row["body"], Origin(row["origin"]), row["is_fresh"], row["template_id"], row["owner_id"])

    async def resolve(self, principal: Principal, assistant_id: UUID, ttl: timedelta) -> ResolvedAssistant | None:
        async with translated():
            query = _SQL["resolve"].bind(**acting(principal), assistant_id=assistant_id, ttl=ttl)
            row = await self._pool.fetchrow(*query)
        if row is None:
            return None
        return ResolvedAssistant(
            row["assistant_id"],
            row["version"],
            row["graph_id"],
            from_json(row["config"]),
            from_json(row["context"]),
            from_json(row["metadata"]),
            Origin(row["origin"]),
            row["is_fresh"],
            row["template_id"],
            row["owner_id"],
        )

    async def find_callable(self, principal: Principal, agent_ids: Sequence[UUID]) -> dict[UUID, CallableAssistant]:
        """Those of the agents that the principal may call, by id. Of a template it is the principal's own copy."""
        ids = [*agent_ids, *(user_assistant_id(each, principal.identity) for each in agent_ids)]
        async with translated():
            query = _SQL["find_callable"].bind(**acting(principal), assistant_ids=ids)
            rows = await self._pool.fetch(*query)
        return {
            row["agent_id"]: CallableAssistant(
                row["agent_id"],
                row["assistant_id"],
                row["graph_id"],
                row["name"],
                row["description"],
                from_json(row["config"]),
                from_json(row["context"]),
            )
            for row in rows
        }

    async def find_former(self, principal: Principal, assistant_id: UUID) -> FormerAssistant | None:
        """An assistant that follows from an agent, or the retired default assistant of a graph; None if there is no
        such one."""
        async with translated():
            query = _SQL["find_former"].bind(**acting(principal), assistant_id=assistant_id)
            row = await self._pool.fetchrow(*query)
        return None if row is None else FormerAssistant(row["name"], row["retired_at"], row["unserved_graph"])

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
        values = _filter_values(where)
        order = (f"by_{sort_by}", "ascending" if ascending else "descending")
        page = {**acting(principal), "fields": select, "offset": offset, "last": offset + limit}
        audiences, is_granted = _audiences(principal), _has_conditions(principal)

        async def run(step: Step) -> Any:
            if step.kind is Kind.IN_ORDER and is_granted:
                bound = _search_granted(page, values, sort_by, not ascending, step.most)
            elif step.kind is Kind.IN_ORDER:
                query = _search_in_order(audiences is not None, tuple(values), *order, step.depth)
                named = {} if audiences is None else {"audiences": audiences}
                bound = query.bind(**page, **values, **named, most=step.most)
            else:
                given = dict.fromkeys(FILTERS) | values
                bound = _search_by_filters(*order).bind(**page, **given, most=step.most)
            async with translated():
                return await self._pool.fetchrow(*bound)

        return await search_page(run, steps(offset + limit), limit=limit, offset=offset)

    async def count(self, principal: Principal, where: AssistantFilter) -> int:
        """Count what a search finds. It reads as many index entries as it counts, if the filters are common."""
        values = dict.fromkeys(FILTERS) | _filter_values(where)
        async with translated():
            count: int = await self._pool.fetchval(*_SQL["count"].bind(**acting(principal), **values))
        return count

    async def create(self, principal: Principal, new: NewAssistant, organization_id: UUID | None) -> str | None:
        """Create an assistant and return it as JSON text; None when the id is taken."""
        async with translated():
            body: str | None = await self._pool.fetchval(
                *_SQL["create"].bind(
                    **acting(principal),
                    assistant_id=new.assistant_id,
                    graph_id=new.graph_id,
                    name=new.name,
                    description=new.description,
                    config=to_json(new.config),
                    context=to_json(new.context),
                    metadata=to_json(new.metadata),
                    organization_id=organization_id,
                    request_id=principal.request_id,
                )
            )
        return body

    def transaction(self, principal: Principal) -> Any:
        """Open a transaction for `lock` and then `update` or `delete`."""
        return acting_as(self._pool, principal)

    @staticmethod
    async def lock(connection: Any, assistant_id: UUID) -> LockedAssistant | None:
        row = await connection.fetchrow(*_SQL["lock"].bind(assistant_id=assistant_id))
        if row is None:
            return None
        return LockedAssistant(
            row["assistant_id"],
            row["graph_id"],
            row["owner_id"],
            row["visibility"],
            from_json(row["config"]),
            from_json(row["metadata"]),
            Origin(row["origin"]),
        )

    @staticmethod
    async def update(connection: Any, assistant_id: UUID, change: AssistantChange) -> str | None:
        """Write the next version and return it as JSON text; None when the principal may not change the assistant."""
        body: str | None = await connection.fetchval(
            *_SQL["update"].bind(
                assistant_id=assistant_id,
                graph_id=change.graph_id,
                name=change.name,
                description=change.description,
                sets_description=change.sets_description,
                config=to_json(change.config),
                context=to_json(change.context),
                metadata=to_json(change.metadata),
            )
        )
        return body

    @staticmethod
    async def delete(connection: Any, assistant_id: UUID, *, with_threads: bool) -> bool:
        deleted = await connection.fetchval(*_SQL["delete"].bind(assistant_id=assistant_id))
        if deleted is not None and with_threads:
            await _delete_threads(connection, assistant_id)
        return deleted is not None


async def _delete_threads(connection: Any, assistant_id: UUID) -> None:
    locked = await connection.fetch(*_SQL["delete_threads_lock"].bind(assistant_id=str(assistant_id)))
    thread_ids = [row["thread_id"] for row in locked]
    await connection.fetch(*_SQL["delete_threads_lock_runs"].bind(thread_ids=thread_ids))
    await connection.execute(*_SQL["delete_threads"].bind(thread_ids=thread_ids))


def _audiences(principal: Principal) -> list[str] | None:
    """The audiences that the principal belongs to, as in the column `audience`; None for all."""
    if principal.grants is not None:
        return ["everyone", f"private:{principal.identity}"] if _is_own(principal) else None
    if principal.is_admin or principal.organizations is None:
        return None
    organizations = sorted(f"organization:{organization}" for organization in principal.organizations)
    return ["everyone", f"private:{principal.identity}", *organizations]


def _is_own(principal: Principal) -> bool:
    """Whether the principal's grant is its own assistants, and those for everyone."""
    return principal.grants is not None and principal.grants.assistants == (Condition(own=principal.identity),)


def _has_conditions(principal: Principal) -> bool:
    """Whether the principal's grant has conditions that no index of an order fits."""
    return principal.grants is not None and principal.grants.assistants != () and not _is_own(principal)


def _filter_values(where: AssistantFilter) -> dict[str, Any]:
    """The values of the filters that are given, by their names in the SQL."""
    given = {"graph_ids": where.graph_ids, "metadata": to_json(where.metadata or None), "name": where.name or None}
    return {name: value for name, value in given.items() if value is not None}


def _search_granted(page: dict[str, Any], values: dict[str, Any], order: str, descending: bool, most: int) -> Bound:
    given = dict.fromkeys(FILTERS) | values
    return _SQL["search_granted"].bind(**page, **given, order=order, descending=descending, most=most)


@cache
def _search_in_order(by_audience: bool, filters: tuple[str, ...], order: str, direction: str, depth: str) -> Query:
    readers, readable, index = (
        ("audiences", "of_audience", "index_of_audience") if by_audience else ("everybody", "all", "index_of_all")
    )
    parts = {"readers": readers, "readable": readable, "index": index, "filters": filters}
    return _TEMPLATES["search_in_order"].compose(**parts, order=order, direction=direction, depth=depth)


@cache
def _search_by_filters(order: str, direction: str) -> Query:
    return _TEMPLATES["search_by_filters"].compose(order=order, direction=direction)
