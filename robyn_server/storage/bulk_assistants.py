"""Agent sync by the page: `BulkAssistantsProtocol` on Postgres. Works as agenthall_system.

The same rows come of it as of `SyncedAssistants` and the ledger, one agent after another: the queries share their fragments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import CATALOGUE_KEYS, AgentSource, SyncAction, catalogue_hash

from .assistant_rows import name_of, visibility_of
from .database import Pool
from .errors import translated
from .json import dump_json
from .queries import load

_SQL = load("synced_assistants")


class BulkAssistants:
    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def unchanged(
        self, fingerprints: Mapping[UUID, bytes], owner_id: str, read_at: datetime | None = None
    ) -> frozenset[UUID]:
        """The agents that need no comparing: theirs is the fingerprint of the last one, and nobody has written the assistant since.

        They are noted as skipped now, as of `read_at`.
        """
        rows = await self._fetch(
            "unchanged", list(fingerprints), list(fingerprints.values()), owner_id, self._source, read_at
        )
        return frozenset(row["agent_id"] for row in rows)

    async def apply(self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str) -> Mapping[UUID, SyncAction]:
        """Makes assistants equal to `page` (payloads with their fingerprints, each id once) and notes that; all of it or nothing.

        Answers for those that it could settle (one of which a later reading was applied is skipped); one that is missing is in
        somebody else's hands now: look again. Raises what
        Postgres says about a row that it refuses.
        """
        rows = dump_json([_row(payload, fingerprint) for payload, fingerprint in page]).decode()
        done = await self._fetch("apply", list(CATALOGUE_KEYS), rows, owner_id, visibility_of(owner_id), self._source)
        return {row["agent_id"]: SyncAction(row["action"]) for row in done}

    async def _fetch(self, name: str, *arguments: Any) -> list[Any]:
        """Planned anew each time: a plan that was kept from when the tables were empty took 8 s for a page of 5,000."""
        async with translated(), self._pool.acquire() as connection, connection.transaction():
            await connection.execute("set local plan_cache_mode = force_custom_plan")
            return await connection.fetch(_SQL[name], *arguments)


def _row(payload: Mapping[str, Any], fingerprint: bytes) -> dict[str, Any]:
    """One row of the page. JSON in one piece: ten arrays of columns took twice as long to write, and as long to read."""
    return {
        "agent_id": payload["assistant_id"],
        "graph_id": payload["graph_id"],
        "name": name_of(payload),
        "description": payload.get("description"),
        "config": payload["config"],
        "metadata": payload["metadata"],
        "organization_id": payload["metadata"].get("supabase_organization_id"),
        "hash": catalogue_hash(payload),
        "fingerprint": f"\\x{fingerprint.hex()}",
    }
