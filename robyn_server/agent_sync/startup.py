"""The whole scope at once: by the page where the storage can, else one agent at a time. Either way the same rows, counters and logs."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from .books import Books
from .bulk import sync_in_bulk
from .one_by_one import sync_one_by_one
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool, is_bulk
from .scope import AgentSyncScope
from .sharing import shared_in
from .single import SyncContext
from .template_pass import sync_copies
from .write_back import retry_write_backs

_log = structlog.get_logger(__name__)


async def startup_agent_sync(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    scope: AgentSyncScope,
    owner_id: str,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> dict[str, int]:
    """{total, created, updated, skipped, failed}; a template that no user has a copy of is not counted. One agent's trouble is one `failed`, with its reason in log and ledger.

    Raises CatalogueUnavailable, and Unavailable when the server's own database is away; what was synced until then stays.
    """
    context = SyncContext(pool, storage, owner_id, owner_id, graphs, options)
    books = Books(context.ledger)
    if scope.type != "none":
        if options.write_back:
            await retry_write_backs(pool, storage, source=options.source)
        await _sync(context, scope, books)
    counters = books.counters()
    _log.info("agent sync finished", scope=str(scope), **counters)
    return counters


async def _sync(context: SyncContext, scope: AgentSyncScope, books: Books) -> None:
    bulk, shared = getattr(context.storage, "bulk", None), shared_in(scope, context.options)
    if is_bulk(bulk):
        await sync_in_bulk(context, bulk, shared, books)
    else:
        await sync_one_by_one(context, shared, books)
    if context.options.templates:
        await sync_copies(context, scope, books)
