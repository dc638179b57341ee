"""Which reading of an agent is the last: `ReadingsProtocol` on Postgres. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from robyn_server.core.catalogue import AgentSource

from .assistant_rows import agent_of
from .database import Pool
from .errors import translated
from .queries import load

_SQL = load("synced_assistants")


class Readings:
    """By `metadata.synced_at`, on the clock of the source's database; an agent of the other source is another agent."""

    def __init__(self, pool: Pool, source: AgentSource) -> None:
        self._pool = pool
        self._source = source

    async def claim(self, payload: Mapping[str, Any]) -> bool:
        """Whether `payload` was read later than all that was applied; from then on what was read earlier is not applied any more.

        Waits for whoever applies another reading of the agent at this moment. Raises Unavailable.
        """
        read_at = datetime.fromisoformat(payload["metadata"]["synced_at"])
        async with translated():
            is_latest: bool = await self._pool.fetchval(_SQL["claim"], agent_of(payload), self._source, read_at)
        return is_latest
