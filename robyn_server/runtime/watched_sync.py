"""A sync for somebody who watches it: how many agents there are, and how many have been looked at so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, count_active_agents, count_copied_templates
from robyn_server.agent_sync.sharing import shared_in
from robyn_server.core.catalogue import AgentSource
from robyn_server.services.agent_sync import SyncReport, SyncRequest
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .agent_sources import Place, places
from .agent_sync_operations import Operations
from .sourced_operations import SourcedOperations

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
    sources: Sequence[AgentSource] = (AgentSource.CATALOGUE,),
) -> SyncReport:
    """As SourcedOperations.sync. `system` works as agenthall_system. `options`: the catalogue's."""
    storage = PostgresAssistantStorage(system)
    at = places(sources, options, (catalogue, ""), (system, ""))
    each = _operations(at, system, graph_ids, progress)
    operations = SourcedOperations(each)
    if request.agent_id is not None:
        return await operations.sync(request)
    progress.expect(await _count(at, system, each[sources[0]].scope_of(request.scope)))
    if request.dry_run:
        return await operations.sync(request)
    await storage.ensure_default_assistants(list(graph_ids))
    watching = asyncio.create_task(_watch(storage, AgentSyncView(system), progress), name="watch the sync")
    try:
        return await operations.sync(request)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def _operations(
    at: Mapping[AgentSource, Place], system: Pool, graph_ids: Sequence[str], progress: Progress
) -> dict[AgentSource, Operations]:
    """Of each source; what they plan is counted over all of them."""
    seen = 0

    def planned(count: int) -> None:
        nonlocal seen
        seen += count
        progress.reached(seen)

    return {
        source: Operations(
            place.pool,
            PostgresAssistantStorage(system, source),
            AgentSyncView(system, source),
            graph_ids,
            place.options,
            progress=planned,
        )
        for source, place in at.items()
    }


async def _count(at: Mapping[AgentSource, Place], system: Pool, scope: AgentSyncScope) -> int:
    """A template counts as one agent, however many users have a copy; one that nobody has is not looked at."""
    total = 0
    for source, place in at.items():
        options = place.options
        total += await count_active_agents(place.pool, shared_in(scope, options), options.source)
        if options.templates:
            total += await count_copied_templates(place.pool, AgentSyncView(system, source), scope, options.source)
    return total


async def _watch(storage: PostgresAssistantStorage, view: AgentSyncView, progress: Progress) -> None:
    """By the books, which every path keeps; so what another replica looks at meanwhile counts too."""
    began = await storage.retirement.clock()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        progress.reached(await view.looked_at_since(began))
