"""A sync that reports its progress: how many agents there are, and how many have been synced so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, count_active_agents, count_copied_templates
from robyn_server.agent_sync.reports import SyncReport, SyncRequest
from robyn_server.agent_sync.sharing import shared_in
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView
from robyn_server.storage.postgres.pools import Pool

from .operations import Operations
from .sources import MultiSourceOperations, SourceConnection, source_connections

_REPORT_SECONDS = 0.25


class Progress(Protocol):
    """`expect` and `reached` are numbers of agents."""

    def expect(self, total: int) -> None: ...
    def reached(self, done: int) -> None: ...


async def sync_with_progress(
    catalogue: Pool,
    system: Pool,
    graph_ids: Sequence[str],
    options: AgentSyncOptions,
    request: SyncRequest,
    progress: Progress,
    sources: Sequence[AgentSource] = (AgentSource.CATALOGUE,),
) -> SyncReport:
    """As MultiSourceOperations.sync. `system` works as agenthall_system. `options`: the catalogue's."""
    store = PostgresSyncStore(system)
    at = source_connections(sources, options, (catalogue, ""), (system, ""))
    each = _operations(at, system, graph_ids, progress)
    operations = MultiSourceOperations(each)
    if request.agent_id is not None:
        return await operations.sync(request)
    progress.expect(await _count(at, system, each[sources[0]].scope_of(request.scope)))
    if request.dry_run:
        return await operations.sync(request)
    await store.ensure_default_assistants(list(graph_ids))
    reporting = asyncio.create_task(_report(store, AgentSyncView(system), progress), name="report the sync's progress")
    try:
        return await operations.sync(request)
    finally:
        reporting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporting


def _operations(
    at: Mapping[AgentSource, SourceConnection], system: Pool, graph_ids: Sequence[str], progress: Progress
) -> dict[AgentSource, Operations]:
    """The operations of each source. The progress of their dry runs is counted over all of them."""
    done = 0

    def planned(count: int) -> None:
        nonlocal done
        done += count
        progress.reached(done)

    return {
        source: Operations(
            connection.pool,
            PostgresSyncStore(system, source),
            AgentSyncView(system, source),
            graph_ids,
            connection.options,
            progress=planned,
        )
        for source, connection in at.items()
    }


async def _count(at: Mapping[AgentSource, SourceConnection], system: Pool, scope: AgentSyncScope) -> int:
    """A template counts as one agent, however many users have a copy; one that nobody has does not count."""
    total = 0
    for source, connection in at.items():
        options = connection.options
        total += await count_active_agents(connection.pool, shared_in(scope, options), options.source)
        if options.templates:
            total += await count_copied_templates(
                connection.pool, PostgresSyncStore(system, source), scope, options.source
            )
    return total


async def _report(store: PostgresSyncStore, view: AgentSyncView, progress: Progress) -> None:
    """By the ledger, which every path writes; so what another replica syncs meanwhile counts too."""
    began = await store.clock()
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        progress.reached(await view.count_checked_since(began))
