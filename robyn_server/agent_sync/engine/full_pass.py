"""Sync a whole scope: by the page where the storage can, else one agent at a time.

Both give the same rows, counters and logs.
"""

from __future__ import annotations

from collections.abc import Collection

from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.agent_sync.sharing import shared_in
from robyn_server.agent_sync.store import AssistantStorageProtocol, PlainStore, sync_store

from .bulk import sync_in_bulk, sync_one_by_one
from .recorder import SyncRecorder
from .single import SyncContext
from .sync_log import SyncLog
from .templates import sync_copies
from .write_back import may_write_back, retry_write_backs


async def startup_agent_sync(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    scope: AgentSyncScope,
    owner_id: str,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    log: SyncLog | None = None,
) -> dict[str, int]:
    """Sync all agents of `scope`; returns {total, created, updated, skipped, failed}.

    A template that no user has a copy of is not counted. A problem of one agent is one `failed`, with its reason in log
    and ledger. `log`: that of repeated syncs. Raises CatalogueUnavailable, and Unavailable when the server's own
    database is away; what was synced until then stays.
    """
    log = log or SyncLog()
    log.begin()
    context = SyncContext(pool, sync_store(storage), owner_id, owner_id, graphs, options, log)
    recorder = SyncRecorder(context.store, log)
    await sync_scope(context, scope, recorder)
    counters = recorder.counters()
    log.finished(scope, counters)
    return counters


async def sync_scope(context: SyncContext, scope: AgentSyncScope, recorder: SyncRecorder) -> None:
    """Sync all agents of `scope`: those that are shared, and the copies of those that are templates."""
    if scope.type == "none":
        return
    pool, store, options = context.pool, context.store, context.options
    if may_write_back(pool, options):
        await retry_write_backs(pool, store, source=options.source)
    sync_shared = sync_one_by_one if isinstance(store, PlainStore) else sync_in_bulk
    await sync_shared(context, shared_in(scope, options), recorder)
    if options.templates:
        await sync_copies(context, scope, recorder)
