"""Results of agent sync for operators, read only. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue.agent_change import AgentChange
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import Bound, Query, load, load_templates
from robyn_server.storage.postgres.search import depth

from .template_copies import TemplateCopies

_SQL = load("agent_sync/view")
_TEMPLATES = load_templates("agent_sync/view")
_JSON = ("config", "metadata")


@dataclass(frozen=True, slots=True)
class ProblemCounts:
    """The number of agents whose last sync failed, and of pending write-backs."""

    failures: int
    pending_write_backs: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An agent whose last sync failed. `name`: the assistant's, if there is one. `at`: by the database's clock."""

    agent_id: UUID
    name: str | None
    reason: str
    at: datetime
    source: str = AgentSource.CATALOGUE


class AgentSyncView:
    """`failures` and `count_problems` cover all sources, the rest one `source`. Raises Unavailable."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def failures(self, after: UUID | None, limit: int) -> list[Failure]:
        """Agents whose last sync failed, by id."""
        given = {} if after is None else {"after": after}
        rows = await self._fetch(_failures(tuple(given), depth(limit)).bind(**given, limit=limit))
        return [Failure(row["agent_id"], row["name"], row["failure"], row["checked_at"], row["source"]) for row in rows]

    async def count_problems(self) -> ProblemCounts:
        (row,) = await self._fetch(_SQL["count_problems"].bind())
        return ProblemCounts(row["failures"], row["pending_write_backs"])

    async def assistants(self, agent_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """By id: {graph_id, name, description, config, metadata, owner_id, retired_at, template_id, origin}."""
        rows = await self._fetch(_SQL["assistants"].bind(assistant_ids=list(agent_ids)))
        return {row["assistant_id"]: {**row, **{name: from_json(row[name]) for name in _JSON}} for row in rows}

    async def absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """(id, name) of assistants in service in (after, last] that are not in `present`. None is no bound."""
        of = None if organizations is None else list(organizations)
        rows = await self._fetch(
            _SQL["absent"].bind(after=after, last=last, present=list(present), organization_ids=of, source=self._source)
        )
        return [(row["assistant_id"], row["name"]) for row in rows]

    async def absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """As `absent`, for users' copies. The ids are those of the agents."""
        of = None if organizations is None else list(organizations)
        rows = await self._fetch(
            _SQL["absent_copies"].bind(
                after=after, last=last, present=list(present), organization_ids=of, source=self._source
            )
        )
        return [(row["assistant_id"], row["name"]) for row in rows]

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        return await TemplateCopies(self._pool, self._source).copied_agents(after, limit)

    async def copies(self, agent_ids: Sequence[UUID]) -> Sequence[Mapping[str, Any]]:
        """Users' copies of these agents, retired ones included, in the form of `assistants`."""
        rows = await self._fetch(_SQL["copies"].bind(agent_ids=list(agent_ids)))
        return [{**row, **{name: from_json(row[name]) for name in _JSON}} for row in rows]

    async def changes_since(self, moment: datetime, limit: int) -> tuple[list[AgentChange], int]:
        """Changes by all replicas, failures first, and their total number."""
        rows = await self._fetch(_SQL["changes_since"].bind(since=moment, limit=limit, source=self._source))
        changes = [AgentChange(row["agent_id"], row["action"], row["name"], reason=row["failure"]) for row in rows]
        return changes, rows[0]["total"] if rows else 0

    async def count_checked_since(self, moment: datetime) -> int:
        (row,) = await self._fetch(_SQL["count_checked_since"].bind(since=moment))
        return int(row["count"])

    async def _fetch(self, bound: Bound) -> list[Any]:
        async with translated():
            return await self._pool.fetch(*bound)


@cache
def _failures(filters: tuple[str, ...], depth: str) -> Query:
    return _TEMPLATES["failures"].compose(filters=filters, depth=depth)
