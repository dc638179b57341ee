"""Operate agent sync: its status, and a sync on request. For administrators only."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from robyn_server.agent_sync.reports import SyncReport, SyncRequest
from robyn_server.core.access.permissions import Operation, require
from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import Invalid


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
        require(principal, Operation.AGENT_SYNC_READ)
        return await self._operations.status(after=after, limit=limit)

    async def sync(self, principal: Principal, request: SyncRequest) -> SyncReport:
        """Raises Forbidden, and what the operations raise."""
        require(principal, Operation.AGENT_SYNC_RUN)
        if request.scope is not None and request.agent_id is not None:
            raise Invalid("Name a scope or an agent, not both.", field="agent_id")
        return await self._operations.sync(request)
