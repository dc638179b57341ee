"""`AssistantStorageProtocol` on Postgres: what agent sync reads and writes. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from robyn_server.core.catalogue import CATALOGUE_KEYS
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import default_assistant_id, parse_uuid

from .agent_sync_ledger import PostgresAgentSyncLedger
from .assistant_rows import AssistantRow, visibility_of
from .bulk_assistants import BulkAssistants
from .database import Pool
from .errors import translated
from .queries import load
from .retirement import Retirement

_SQL = load("synced_assistants")
_JSON_COLUMNS = ("config", "context", "metadata")


class SyncedAssistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        """The assistant as a mapping; those of `system` are found for every owner."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["get"], parse_uuid(assistant_id, "assistant ID"), owner_id)
        return None if row is None else {**row, **{name: orjson.loads(row[name]) for name in _JSON_COLUMNS}}

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Raises Conflict when the id is taken: by another replica a moment ago, or by something else."""
        row = AssistantRow.of(payload)
        async with translated():
            created = await self._pool.fetchval(_SQL["insert"], *row, owner_id, visibility_of(owner_id))
        if created is None:
            raise Conflict(f"Assistant {row.assistant_id} already exists")
        return dict(payload)

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Replaces what the catalogue owns, keeps the rest. Raises Conflict when the row has this content already."""
        row = AssistantRow.of({**payload, "assistant_id": assistant_id})
        async with translated():
            updated = await self._pool.fetchval(_SQL["update"], list(CATALOGUE_KEYS), *row, owner_id)
        if updated is None:
            raise Conflict(f"Assistant {assistant_id} has this content already, or is somebody else's")
        return dict(payload)


class PostgresAssistantStorage:
    """The storage that agent sync is given: assistants, one at a time or by the page, and the ledger of what it did."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.assistants = SyncedAssistants(pool)
        self.bulk = BulkAssistants(pool)
        self.ledger = PostgresAgentSyncLedger(pool)
        self.retirement = Retirement(pool)

    async def ensure_default_assistants(self, graph_ids: list[str]) -> None:
        """One assistant for each graph, with an id that follows from its name. Never changes one that exists."""
        async with translated():
            await self._pool.executemany(
                load("assistants")["ensure_default"],
                [(default_assistant_id(graph_id), graph_id) for graph_id in graph_ids],
            )
