"""Users' copies of template agents, all of an agent's at once: `CopiesProtocol` on Postgres. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import CATALOGUE_KEYS, AgentSource, SyncAction

from .bulk_assistants import _row
from .database import Pool
from .errors import translated
from .json import dump_json
from .queries import load

_SQL = load("synced_assistants")
_NO_FINGERPRINT = b""
"""Only shared assistants are compared by fingerprint: each copy has a version of its own."""


class TemplateCopies:
    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents that users have copies of, and those whose last look was a failure, by id."""
        async with translated():
            rows = await self._pool.fetch(_SQL["copied_agents"], after, limit, self._source)
        return [row["agent_id"] for row in rows]

    async def update(self, payloads: Sequence[Mapping[str, Any]]) -> Mapping[UUID, SyncAction]:
        """Makes every copy of these agents equal to its agent's payload, in one statement; retired ones come back.

        Answers for the agents that have copies: updated when one had to be written, else skipped, also where a later reading of the
        agent was applied already. Raises what Postgres says about
        a row that it refuses; then none was written.
        """
        rows = dump_json([_row(payload, _NO_FINGERPRINT) for payload in payloads]).decode()
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "set local plan_cache_mode = force_custom_plan"
            )  # as BulkAssistants, for its reason
            found = await connection.fetch(_SQL["update_copies"], list(CATALOGUE_KEYS), rows, self._source)
        return {row["agent_id"]: SyncAction.UPDATED if row["written"] else SyncAction.SKIPPED for row in found}
