"""Operating agent sync: how it stands, and a sync on request. For administrators; the seam between requests and the sync itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from robyn_server.core.agent_change import AgentChange
from robyn_server.core.errors import Forbidden, Invalid
from robyn_server.core.principal import Principal


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """`scope` in the grammar of AGENT_SYNC_SCOPE (None: the server's own), or one agent. `dry_run` writes nothing at all."""

    scope: str | None = None
    agent_id: UUID | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SyncReport:
    """`counters`: {total, created, updated, skipped, failed, retired}. `changes`: without the skipped, and no more than `CHANGES`;
    `more` of them are not listed. `started_at`: the server database's clock. `by_source`: the counters of each of AGENT_SYNC_SOURCES."""

    scope: str
    agent_id: UUID | None
    dry_run: bool
    started_at: datetime
    seconds: float
    counters: dict[str, int]
    changes: list[AgentChange]
    more: int
    by_source: dict[str, dict[str, int]] = field(default_factory=dict)


CHANGES = 1000
"""Lines of one report. The counters count all; what failed is in the ledger, page by page."""


class AgentSyncOperations(Protocol):
    async def status(self, *, after: UUID | None, limit: int) -> dict[str, Any]:
        """As `GET /agents/sync` answers it; `after` and `limit` page the failures."""
        ...

    async def sync(self, request: SyncRequest) -> SyncReport:
        """Raises Invalid (scope), NotFound (agent), Conflict (one is under way), CatalogueUnavailable."""
        ...


class AgentSyncService:
    def __init__(self, operations: AgentSyncOperations) -> None:
        self._operations = operations

    async def status(self, principal: Principal, *, after: UUID | None, limit: int) -> dict[str, Any]:
        """Raises Forbidden."""
        _check_admin(principal)
        return await self._operations.status(after=after, limit=limit)

    async def sync(self, principal: Principal, request: SyncRequest) -> SyncReport:
        """Raises Forbidden, and what the operations raise."""
        _check_admin(principal)
        if request.scope is not None and request.agent_id is not None:
            raise Invalid("Name a scope or an agent, not both.", field="agent_id")
        return await self._operations.sync(request)


def _check_admin(principal: Principal) -> None:
    if not principal.is_admin:
        raise Forbidden("Only administrators may operate agent sync.")
