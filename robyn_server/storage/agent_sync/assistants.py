"""Assistants of the catalogue, one at a time: the three methods of `AssistantStorageProtocol` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue.fields import CATALOGUE_KEYS, StaleRead
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import parse_uuid, user_assistant_id
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import from_json
from robyn_server.storage.postgres.queries import load

from .rows import AssistantRow, agent_of, visibility_of
from .source_storage import SourceStorage

_SQL = load("agent_sync/assistants")
_JSON_COLUMNS = ("config", "context", "metadata")


class SyncedAssistants(SourceStorage):
    async def get(self, assistant_id: str, owner_id: str) -> dict[str, Any] | None:
        """The assistant as a mapping. Every owner finds those of `system`."""
        async with translated():
            query = _SQL["get"].bind(assistant_id=parse_uuid(assistant_id, "assistant ID"), owner_id=owner_id)
            row = await self._pool.fetchrow(*query)
        return None if row is None else {**row, **{name: from_json(row[name]) for name in _JSON_COLUMNS}}

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Raises Conflict when the id is taken, by another replica a moment ago or by something else.

        Raises StaleRead, see `update`.
        """
        row = AssistantRow.of(payload)
        async with translated():
            written = await self._pool.fetchrow(
                *_SQL["create"].bind(
                    **row._asdict(),
                    owner_id=owner_id,
                    visibility=visibility_of(owner_id),
                    template_id=_template_of(payload, row.assistant_id, owner_id),
                    agent_id=agent_of(payload),
                    source=self.source,
                )
            )
        if not _ensure_latest(written, payload):
            raise Conflict(f"Assistant {row.assistant_id} already exists")
        return dict(payload)

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> dict[str, Any]:
        """Replace what the catalogue owns, keep the rest. Raises Conflict when the row has this content already, or
        another origin.

        Raises StaleRead when a later version of the agent (`metadata.synced_at`) has been applied.
        """
        row = AssistantRow.of({**payload, "assistant_id": assistant_id})
        async with translated():
            written = await self._pool.fetchrow(
                *_SQL["update"].bind(
                    **row._asdict(),
                    catalogue_keys=list(CATALOGUE_KEYS),
                    owner_id=owner_id,
                    template_id=_template_of(payload, row.assistant_id, owner_id),
                    agent_id=agent_of(payload),
                    source=self.source,
                )
            )
        if not _ensure_latest(written, payload):
            raise Conflict(f"Assistant {assistant_id} has this content already, or is not this agent's")
        return dict(payload)


def _ensure_latest(written: Any, payload: Mapping[str, Any]) -> bool:
    """Whether anything was written. Raises StaleRead."""
    if not written["is_latest"]:
        raise StaleRead(f"A later version of agent {agent_of(payload)} was applied already")
    return bool(written["is_written"])


def _template_of(payload: Mapping[str, Any], assistant_id: UUID, owner_id: str) -> UUID | None:
    """The agent that this is `owner_id`'s copy of, by the ids. None for an assistant that has its agent's id."""
    named = payload["metadata"].get("supabase_agent_id")
    agent_id = None if named is None else parse_uuid(named, "agent ID")
    return agent_id if agent_id is not None and user_assistant_id(agent_id, owner_id) == assistant_id else None
