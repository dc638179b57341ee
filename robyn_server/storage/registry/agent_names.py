"""Agents of the registry by their agent_id, and names and ids that others have, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Connection, Pool, acting
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/agent_names")


@dataclass(frozen=True, slots=True)
class NamedAgent:
    """`assistant_id`: that of its configuration."""

    assistant_id: UUID
    is_enabled: bool


class AgentNames:
    """Works as agenthall_app."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, principal: Principal, agent_id: str, organization_id: UUID | None) -> Sequence[NamedAgent]:
        """Up to two agents of this name, in that organization, else in all of the principal's organizations.

        One that is disabled is found if no other is.
        """
        async with translated():
            query = _SQL["find"].bind(**acting(principal), agent_id=agent_id, organization_id=organization_id)
            rows = await self._pool.fetch(*query)
        return [NamedAgent(row["assistant_id"], row["is_enabled"]) for row in rows]


class TakenNames:
    """Names and ids that an operator must free. Works as agenthall_system."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def taken_ids(self, limit: int) -> Sequence[str]:
        """Agents that run in instances, whose configuration has the id of another assistant."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["taken_ids"].bind(limit=limit))
        return [row["agent_id"] for row in rows]

    async def names_of_graphs(self, graph_ids: Sequence[str]) -> Sequence[str]:
        """Agents that have the name of one of these graphs."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["names_of_graphs"].bind(graph_ids=list(graph_ids)))
        return [row["agent_id"] for row in rows]
