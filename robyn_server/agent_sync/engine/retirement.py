"""Take agents out of service that the catalogue does not offer any more: a pass over the ids of a scope, page by
page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.contract import probe_catalogue, reading_catalogue
from robyn_server.agent_sync.catalogue_db.queries import bound, ids_query, scope_conditions
from robyn_server.agent_sync.catalogue_db.source import STANDARD, CataloguePool, CatalogueSource
from robyn_server.agent_sync.errors import CatalogueAbsent
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.agent_sync.sharing import shared_in, templates_in
from robyn_server.agent_sync.store import AssistantStorageProtocol, SyncStore, sync_store
from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome

_IDS_PER_PAGE = 5_000

RetireAbsent: TypeAlias = Callable[[UUID | None, UUID | None, Collection[UUID], datetime], Awaitable[int]]


async def retire_absent_agents(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    scope: AgentSyncScope,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> int:
    """Retire every assistant of the catalogue whose agent is not active in `scope`; returns how many agents that were.

    With templates, shared assistants are those of global agents only, and users' copies those of the others; without,
    nobody has a copy. Scope `none` names no agents, so what is shared stays. Raises CatalogueUnavailable; then nothing
    was retired that is still
    offered: a page is applied only after it was read.
    """
    store, source = sync_store(storage), options.source
    await _clear_failures_of_absent(pool, store, scope, source)
    began = await store.clock()
    retired = 0 if options.templates else await store.retire_absent_copies(None, None, [], began)
    if scope.type == "none":
        return retired + (await _retire_shared_templates(pool, store, source) if options.templates else 0)
    retired += await _retire_pages(pool, store.retire_absent, shared_in(scope, options), source, began)
    if options.templates:
        retired += await _retire_pages(pool, store.retire_absent_copies, templates_in(scope), source, began)
    return retired


async def _clear_failures_of_absent(
    pool: CataloguePool, store: SyncStore, scope: AgentSyncScope, source: CatalogueSource
) -> None:
    """Record as missing the agents that failed and are not active in `scope` any more.

    With scope `none`: in any organization.
    """
    within, after = AgentSyncScope("all") if scope.type == "none" else scope, None
    while failing := await store.failing(after, _IDS_PER_PAGE):
        active = await _active_among(pool, within, source, failing)
        await store.record(
            [SyncOutcome(agent_id, SyncAction.MISSING) for agent_id in failing if agent_id not in active]
        )
        after = failing[-1]


async def forget_source(storage: AssistantStorageProtocol) -> None:
    """Retire all assistants of a source that is not served any more, and forget its failures."""
    store, after = sync_store(storage), None
    await store.retire_absent(None, None, [], await store.clock())
    while failing := await store.failing(after, _IDS_PER_PAGE):
        await store.record([SyncOutcome(agent_id, SyncAction.MISSING) for agent_id in failing])
        after = failing[-1]


async def _active_among(
    pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource, agent_ids: Sequence[UUID]
) -> set[UUID]:
    """Raises CatalogueUnavailable."""
    contract = await probe_catalogue(pool, source)
    contract.ensure_usable()
    conditions, values = scope_conditions(scope)
    conditions.append(f"{source.key} = any (:agent_ids::uuid[])")
    query = ids_query(source, contract, conditions, limit=len(agent_ids))
    async with reading_catalogue():
        rows = await pool.fetch(*bound(query, **values, agent_ids=list(agent_ids)))
    return {row["id"] for row in rows}


async def _retire_pages(
    pool: CataloguePool, retire_absent: RetireAbsent, scope: AgentSyncScope, source: CatalogueSource, began: datetime
) -> int:
    after, retired = None, 0
    async for ids in active_ids(pool, scope, source):
        last = ids[-1] if len(ids) == _IDS_PER_PAGE else None  # after the last page comes nothing
        retired += await retire_absent(after, last, ids, began)
        after = last
    return retired


async def _retire_shared_templates(pool: CataloguePool, store: SyncStore, source: CatalogueSource) -> int:
    """Without a scope, too, an agent that is a template now is not shared any more.

    Without a catalogue there are none.
    """
    try:
        pages = active_ids(pool, templates_in(AgentSyncScope("all")), source)
        return sum([await store.retire_shared(ids) async for ids in pages])
    except CatalogueAbsent:
        return 0


async def count_active_agents(pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource = STANDARD) -> int:
    """How many agents a sync of `scope` reads. Raises CatalogueUnavailable."""
    return 0 if scope.type == "none" else sum([len(ids) async for ids in active_ids(pool, scope, source)])


async def count_copied_templates(
    pool: CataloguePool, storage: AssistantStorageProtocol, scope: AgentSyncScope, source: CatalogueSource = STANDARD
) -> int:
    """How many templates of `scope` a sync with AGENT_SYNC_TEMPLATES=on reads. Raises CatalogueUnavailable."""
    store = sync_store(storage)
    copied, after = set[UUID](), None
    while scope.type != "none" and (ids := await store.copied_agents(after, _IDS_PER_PAGE)):
        copied.update(ids)
        after = ids[-1]
    if not copied:
        return 0
    return sum([len(copied.intersection(ids)) async for ids in active_ids(pool, templates_in(scope), source)])


async def active_ids(
    pool: CataloguePool, scope: AgentSyncScope, source: CatalogueSource
) -> AsyncGenerator[list[UUID], None]:
    """The ids of active agents in order, in pages; the last one is shorter than a page, and may be empty."""
    contract = await probe_catalogue(pool, source)
    contract.ensure_usable()
    after: UUID | None = None
    while True:
        conditions, values = scope_conditions(scope)
        conditions.append(f"(:after::uuid is null or {source.key} > :after)")
        query = ids_query(source, contract, conditions, limit=_IDS_PER_PAGE)
        async with reading_catalogue():
            ids = [row["id"] for row in await pool.fetch(*bound(query, **values, after=after))]
        yield ids
        if len(ids) < _IDS_PER_PAGE:
            return
        after = ids[-1]
