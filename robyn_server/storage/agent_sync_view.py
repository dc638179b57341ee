"""What agent sync came to, for operators: reads, and nothing but reads. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.agent_change import AgentChange
from robyn_server.core.catalogue import AgentSource

from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("agent_sync")
_JSON = ("config", "metadata")


@dataclass(frozen=True, slots=True)
class Trouble:
    """How many agents failed at their last look, and how many write-backs are owed."""

    failures: int
    owed_write_backs: int


@dataclass(frozen=True, slots=True)
class Failure:
    """`name` is the assistant's, where there is one. `at`: this database's clock."""

    agent_id: UUID
    name: str | None
    reason: str
    at: datetime
    source: str = AgentSource.CATALOGUE


class AgentSyncView:
    """Failures and troubles are everybody's; the rest is of one `source`. Raises Unavailable when the database is away."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def failures(self, after: UUID | None, limit: int) -> list[Failure]:
        """Of the last look at each agent, in the order of ids."""
        rows = await self._fetch("failures", after, limit)
        return [Failure(row["agent_id"], row["name"], row["failure"], row["checked_at"], row["source"]) for row in rows]

    async def trouble(self) -> Trouble:
        (row,) = await self._fetch("trouble")
        return Trouble(row["failures"], row["owed_write_backs"])

    async def assistants(self, agent_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """By id: {graph_id, name, description, config, metadata, owner_id, retired_at, from_catalogue, agent_source}."""
        rows = await self._fetch("assistants", list(agent_ids))
        return {row["assistant_id"]: {**row, **{name: orjson.loads(row[name]) for name in _JSON}} for row in rows}

    async def absent(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """(id, name) of the catalogue's assistants in service in (after, last] that are not among `present`; None is no bound."""
        of = None if organizations is None else list(organizations)
        rows = await self._fetch("absent", after, last, list(present), of, self._source)
        return [(row["assistant_id"], row["name"]) for row in rows]

    async def absent_copies(
        self, after: UUID | None, last: UUID | None, present: Collection[UUID], organizations: Sequence[UUID] | None
    ) -> Sequence[tuple[UUID, str]]:
        """As `absent`, of agents that users have copies of; the ids are the agents'."""
        of = None if organizations is None else list(organizations)
        rows = await self._fetch("absent_copies", after, last, list(present), of, self._source)
        return [(row["assistant_id"], row["name"]) for row in rows]

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents that users have copies of, and those whose last look was a failure, by id."""
        async with translated():
            rows = await self._pool.fetch(load("synced_assistants")["copied_agents"], after, limit, self._source)
        return [row["agent_id"] for row in rows]

    async def copies(self, agent_ids: Sequence[UUID]) -> Sequence[Mapping[str, Any]]:
        """Users' copies of these agents, retired ones too; each as `assistants` has it, with its `template_id`."""
        rows = await self._fetch("copies", list(agent_ids))
        return [{**row, **{name: orjson.loads(row[name]) for name in _JSON}} for row in rows]

    async def changes_since(self, moment: datetime, limit: int) -> tuple[list[AgentChange], int]:
        """The failures first, and how many changes there are in all. What other replicas did meanwhile is among them."""
        rows = await self._fetch("changes_since", moment, limit, self._source)
        changes = [AgentChange(row["agent_id"], row["action"], row["name"], reason=row["failure"]) for row in rows]
        return changes, rows[0]["total"] if rows else 0

    async def looked_at_since(self, moment: datetime) -> int:
        (row,) = await self._fetch("looked_at_since", moment)
        return int(row["count"])

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        async with translated():
            return await self._pool.fetch(_SQL[name], *arguments)
