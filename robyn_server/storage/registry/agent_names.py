"""The names and ids of registered agents, where assistants of other origins may have them already."""

from __future__ import annotations

from collections.abc import Sequence

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Connection, Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("registry/agent_names")


class TakenNames:
    """Names and ids that an operator must free. Works as agenthall_system."""

    def __init__(self, pool: Pool | Connection) -> None:
        self._pool = pool

    async def taken_ids(self, limit: int) -> Sequence[str]:
        """Agents that run in instances, whose configuration has the id of another assistant."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["taken_ids"].bind(limit=limit))
        return [row["agent_id"] for row in rows]
