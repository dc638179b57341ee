"""`AssistantStorageProtocol` on Postgres: what agent sync reads and writes. Works as agenthall_system.

An assistant of the catalogue is owned by `system` and visible to the members of its agent's organisation; one that has no
organisation is visible to administrators only. Any other owner's is private to that owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.catalogue import CATALOGUE_KEYS, catalogue_hash
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import default_assistant_id, parse_uuid
from robyn_server.core.principal import SYSTEM_OWNER

from .agent_sync_ledger import PostgresAgentSyncLedger
from .database import Pool
from .errors import translated
from .json import to_json
from .queries import load

_SQL = load("assistants")
_JSON_COLUMNS = ("config", "context", "metadata")


class SyncedAssistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        """The assistant as a mapping; those of `system` are found for every owner."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["sync_get"], parse_uuid(assistant_id, "assistant ID"), owner_id)
        return None if row is None else {**row, **{name: orjson.loads(row[name]) for name in _JSON_COLUMNS}}

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Raises Conflict when the id is taken: by another replica a moment ago, or by something else."""
        organization_id = _organization(payload)
        async with translated():
            created = await self._pool.fetchval(
                _SQL["sync_insert"],
                parse_uuid(payload["assistant_id"], "assistant ID"),
                payload["graph_id"],
                payload.get("name") or "Untitled",
                payload.get("description"),
                to_json(payload["config"]),
                to_json(payload["config"].get("configurable", {})),
                to_json(payload["metadata"]),
                owner_id,
                organization_id,
                _visibility(owner_id),
                catalogue_hash(payload),
            )
        if created is None:
            raise Conflict(f"Assistant {payload['assistant_id']} already exists")
        return dict(payload)

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Replaces what the catalogue owns, keeps the rest. Raises Conflict when the row has this content already."""
        async with translated():
            updated = await self._pool.fetchval(
                _SQL["sync_update"],
                parse_uuid(assistant_id, "assistant ID"),
                payload["graph_id"],
                payload.get("name") or "Untitled",
                payload.get("description"),
                to_json(payload["config"]),
                to_json(payload["config"].get("configurable", {})),
                to_json(payload["metadata"]),
                owner_id,
                _organization(payload),
                list(CATALOGUE_KEYS),
                catalogue_hash(payload),
            )
        if updated is None:
            raise Conflict(f"Assistant {assistant_id} has this content already, or is somebody else's")
        return dict(payload)


class PostgresAssistantStorage:
    """The storage that agent sync is given: assistants, and the ledger of what it did."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.assistants = SyncedAssistants(pool)
        self.ledger = PostgresAgentSyncLedger(pool)

    async def ensure_default_assistants(self, graph_ids: list[str]) -> None:
        """One assistant for each graph, with an id that follows from its name. Never changes one that exists."""
        async with translated():
            await self._pool.executemany(
                _SQL["ensure_default"], [(default_assistant_id(graph_id), graph_id) for graph_id in graph_ids]
            )


def _organization(payload: Mapping[str, Any]) -> UUID | None:
    text = payload["metadata"].get("supabase_organization_id")
    return None if text is None else parse_uuid(text, "organization ID")


def _visibility(owner_id: str) -> str:
    return "organization" if owner_id == SYSTEM_OWNER else "private"
