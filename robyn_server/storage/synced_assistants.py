"""`AssistantStorageProtocol` on Postgres: what agent sync reads and writes. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.catalogue import CATALOGUE_KEYS, AgentSource, Superseded
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import default_assistant_id, parse_uuid, user_assistant_id

from .agent_sync_ledger import PostgresAgentSyncLedger
from .assistant_rows import AssistantRow, agent_of, visibility_of
from .bulk_assistants import BulkAssistants
from .database import Pool
from .errors import translated
from .queries import load
from .readings import Readings
from .retirement import Retirement
from .template_copies import TemplateCopies

_SQL = load("synced_assistants")
_JSON_COLUMNS = ("config", "context", "metadata")


class SyncedAssistants:
    """`source`: whose agents are written; those of the other that are in service are out of reach."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self._source = source

    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        """The assistant as a mapping; those of `system` are found for every owner."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["get"], parse_uuid(assistant_id, "assistant ID"), owner_id)
        return None if row is None else {**row, **{name: orjson.loads(row[name]) for name in _JSON_COLUMNS}}

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Raises Conflict when the id is taken: by another replica a moment ago, or by something else; Superseded, see `update`."""
        row = AssistantRow.of(payload)
        async with translated():
            written = await self._pool.fetchrow(
                _SQL["insert"],
                *row,
                owner_id,
                visibility_of(owner_id),
                _template_of(payload, row.assistant_id, owner_id),
                agent_of(payload),
                self._source,
            )
        if not _ensure_latest(written, payload):
            raise Conflict(f"Assistant {row.assistant_id} already exists")
        return dict(payload)

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Replaces what the catalogue owns, keeps the rest. Raises Conflict when the row has this content already.

        Raises Superseded when a later reading of the agent (`metadata.synced_at`) has been applied.
        """
        row = AssistantRow.of({**payload, "assistant_id": assistant_id})
        async with translated():
            written = await self._pool.fetchrow(
                _SQL["update"], list(CATALOGUE_KEYS), *row, owner_id, agent_of(payload), self._source
            )
        if not _ensure_latest(written, payload):
            raise Conflict(f"Assistant {assistant_id} has this content already, or is somebody else's")
        return dict(payload)


class PostgresAssistantStorage:
    """The storage that agent sync is given: assistants, one at a time or by the page, and the ledger of what it did.

    Each source of agents has one of its own, which neither changes nor retires what came from the other.
    """

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self._pool = pool
        self.source = source
        self.assistants = SyncedAssistants(pool, source)
        self.bulk = BulkAssistants(pool, source)
        self.ledger = PostgresAgentSyncLedger(pool, source)
        self.retirement = Retirement(pool, source)
        self.copies = TemplateCopies(pool, source)
        self.readings = Readings(pool, source)

    def of(self, source: AgentSource) -> PostgresAssistantStorage:
        """The storage of another source, in the same database."""
        return PostgresAssistantStorage(self._pool, source)

    async def ensure_default_assistants(self, graph_ids: list[str]) -> None:
        """One assistant for each graph, with an id that follows from its name. Never changes one that exists."""
        async with translated():
            await self._pool.executemany(
                load("assistants")["ensure_default"],
                [(default_assistant_id(graph_id), graph_id) for graph_id in graph_ids],
            )


def _ensure_latest(written: Any, payload: Mapping[str, Any]) -> bool:
    """Whether anything was written. Raises Superseded."""
    if not written["is_latest"]:
        raise Superseded(f"A later reading of agent {agent_of(payload)} was applied already")
    return bool(written["is_written"])


def _template_of(payload: Mapping[str, Any], assistant_id: UUID, owner_id: str) -> UUID | None:
    """The agent that this is `owner_id`'s copy of: the ids tell. None for an assistant that has its agent's id."""
    named = payload["metadata"].get("supabase_agent_id")
    agent_id = None if named is None else parse_uuid(named, "agent ID")
    return agent_id if agent_id is not None and user_assistant_id(agent_id, owner_id) == assistant_id else None
