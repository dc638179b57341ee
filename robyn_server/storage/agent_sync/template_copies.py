"""Users' copies of template agents, all copies of an agent at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue.fields import CATALOGUE_KEYS, SyncAction
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.queries import load

from .rows import page_json
from .source_storage import SourceStorage

_SQL = load("agent_sync/template_copies")
_NO_FINGERPRINT = b""  # only shared assistants are compared by fingerprint: each copy has a version of its own


class TemplateCopies(SourceStorage):
    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Agents that users have copies of, and agents whose last sync failed, by id."""
        async with translated():
            query = _SQL["copied_agents"].bind(after=after, limit=limit, source=self.source)
            rows = await self._pool.fetch(*query)
        return [row["agent_id"] for row in rows]

    async def update_copies(self, payloads: Sequence[Mapping[str, Any]]) -> Mapping[UUID, SyncAction]:
        """Make every copy of these agents equal to its agent's payload, in one statement; retired copies come back.

        Answers for the agents that have copies: `updated` when one had to be written, else `skipped`, also where a
        later version of the agent was applied. Raises the error of PostgreSQL for a row that it refuses; then none was
        written.
        """
        page = page_json([(payload, _NO_FINGERPRINT) for payload in payloads])
        query = _SQL["update_copies"].bind(catalogue_keys=list(CATALOGUE_KEYS), page=page, source=self.source)
        found = await self._fetch_replanned(query)
        return {row["agent_id"]: SyncAction.UPDATED if row["written"] else SyncAction.SKIPPED for row in found}

    @staticmethod
    def copy_ledger_id(agent_id: UUID, copy_id: UUID) -> UUID:  # noqa: ARG004  for a store that cannot update all copies at once
        """The ledger line of a copy: all copies of an agent are updated together, and have one line."""
        return agent_id
