"""A sync for somebody who watches it: how many agents there are, and how many have been looked at so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from robyn_server.agent_sync import AgentSyncOptions, count_active_agents
from robyn_server.services.agent_sync import SyncReport, SyncRequest
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .agent_sync_operations import Operations

_LOOK_SECONDS = 0.25


class Progress(Protocol):
    """`expect` and `reached` are numbers of agents."""

    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


async def watched_sync(
    catalogue: Pool,
    system: Pool,
    graph_ids: Sequence[str],
    options: AgentSyncOptions,
    request: SyncRequest,
    progress: Progress,
) -> SyncReport:
    """As Operations.sync. `system` works as agenthall_system."""
    storage, view, seen = PostgresAssistantStorage(system), AgentSyncView(system), 0

    def planned(count: int) -> None:
        nonlocal seen
        seen += count
        progress.reached(seen)

    operations = Operations(catalogue, storage, view, graph_ids, options, progress=planned)
    if request.agent_id is not None:
        return await operations.sync(request)
    scope = operations.scope_of(request.scope)
    progress.expect(await count_active_agents(catalogue, scope))
    if request.dry_run:
        return await operations.sync(request)
    await storage.ensure_default_assistants(list(graph_ids))
    watching = asyncio.create_task(_watch(storage, view, progress), name="watch the sync")
    try:
        return await operations.sync(request)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _watch(storage: PostgresAssistantStorage, view: AgentSyncView, progress: Progress) -> None:
    """By the books, which every path keeps; so what another replica looks at meanwhile counts too."""
    began = await storage.retirement.clock()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        progress.reached(await view.looked_at_since(began))
