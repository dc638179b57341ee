"""Apply a page of agents in one statement.

The rows are the same as those of `SyncedAssistants` and the ledger, one agent after another: the queries share their
fragments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue.fields import CATALOGUE_KEYS, AppliedAgent, SyncAction
from robyn_server.core.ids import parse_uuid
from robyn_server.storage.postgres.queries import load

from .rows import page_json, visibility_of
from .source_storage import SourceStorage

_SQL = load("agent_sync/bulk")


class BulkWrites(SourceStorage):
    async def unchanged(
        self, fingerprints: Mapping[UUID, bytes], owner_id: str, read_at: datetime | None = None
    ) -> frozenset[UUID]:
        """The agents whose fingerprint is the one applied last, and whose assistant nobody has written since.

        Records them as skipped, as of `read_at`.
        """
        query = _SQL["unchanged"].bind(
            agent_ids=list(fingerprints),
            fingerprints=list(fingerprints.values()),
            owner_id=owner_id,
            source=self.source,
            read_at=read_at,
        )
        return frozenset(row["agent_id"] for row in await self._fetch_replanned(query))

    async def apply(
        self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str
    ) -> Mapping[UUID, AppliedAgent]:
        """Make assistants equal to `page` (payloads with their fingerprints, each id once) and record it: all of it, or
        nothing.

        An agent of which a later version was applied is skipped. An agent that is missing from the answer is held by
        another transaction at this moment: try again. Raises the error of PostgreSQL for a row that it refuses.
        """
        query = _SQL["apply"].bind(
            catalogue_keys=list(CATALOGUE_KEYS),
            page=page_json(page),
            owner_id=owner_id,
            visibility=visibility_of(owner_id),
            source=self.source,
        )
        agents = [parse_uuid(payload["assistant_id"], "agent ID") for payload, _ in page]
        claim = _SQL["apply_claim"].bind(agent_ids=agents, source=self.source)
        rows = await self._fetch_replanned(claim, query)
        return {row["agent_id"]: AppliedAgent(SyncAction(row["action"]), tuple(row["fields"] or ())) for row in rows}
