"""`agenthall sync`: sync agents directly in the databases, whether or not a server runs on them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from robyn_server import logs
from robyn_server.agent_sync import AgentSyncOptions
from robyn_server.agent_sync.live.progress import Progress, sync_with_progress
from robyn_server.agent_sync.reports import SyncReport, SyncRequest
from robyn_server.app.parts.agent_sync import parse_sources, sync_options
from robyn_server.app.parts.database import check_schema, prepare_database
from robyn_server.app.parts.pools import Pools
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.settings import Settings

_CATALOGUE_CONNECTIONS = 4


def run_sync(settings: Settings, request: SyncRequest, progress: Progress) -> SyncReport:
    """Sync, and report what changed. Raises Misconfigured, Invalid (scope), NotFound (agent), CatalogueUnavailable."""
    logs.configure(settings)  # on standard error: only the table goes to standard output
    return asyncio.run(_sync(settings, sync_options(settings), request, progress))


async def _sync(settings: Settings, options: AgentSyncOptions, request: SyncRequest, progress: Progress) -> SyncReport:
    await _prepare(settings, dry_run=request.dry_run)
    async with AsyncExitStack() as closing:
        pools = Pools(settings, closing)
        system = await pools.system("agenthall sync")
        catalogue = await pools.catalogue("agenthall catalogue", _CATALOGUE_CONNECTIONS)
        graph_ids = Graphs(settings.graph_paths, settings.default_model).ids
        return await sync_with_progress(
            catalogue, system, graph_ids, options, request, progress, parse_sources(settings)
        )


async def _prepare(settings: Settings, *, dry_run: bool) -> None:
    """Migrate, except for a dry run. Raises Misconfigured if there is no schema yet."""
    if dry_run:
        await check_schema(settings, "agenthall.agent_sync")
    else:
        await prepare_database(settings)
