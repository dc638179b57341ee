"""Sync one agent on its first reference, and again when its TTL has passed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.reader import fetch_active_agent_by_id
from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.agent_sync.errors import AgentRejected, CatalogueAbsent
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.sharing import is_template
from robyn_server.agent_sync.store import AssistantStorageProtocol, SyncStore, sync_store
from robyn_server.concurrency.single_flight import SingleFlight
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.fields import StaleRead, SyncAction, SyncOutcome, mapping_field
from robyn_server.core.ids import find_uuid, user_assistant_id
from robyn_server.metrics.definitions import LAZY_SYNCS

from .negative_cache import NegativeCache
from .single import ATTEMPTS, SyncContext, failed, find_assistant, is_retired
from .templates import apply_copy, apply_shared, find_copy

DEFAULT_TTL = timedelta(minutes=5)
_flights: SingleFlight[str | None] = SingleFlight()


async def lazy_sync_agent(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent_id: UUID | str,
    owner_id: str,
    cache_ttl: timedelta | float = DEFAULT_TTL,
    organizations: frozenset[UUID] | None = None,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    misses: NegativeCache | None = None,
    is_stale: bool = False,
) -> str | None:
    """The id of the agent's assistant, or None when there is no such active agent in `organizations` (None: in any).

    Within `cache_ttl` (a number is seconds) the catalogue is not asked. `owner_id` asks; a new assistant belongs to the
    server, because an agent is shared within its organization. With `options.templates` an agent that is not global is
    a template. Then the copy of `owner_id` is created and returned; `agent_id` may also be the copy's own id. For the
    server itself (`system`) no copy is created, and the agent's id is returned. `misses` answers for agents that were
    unknown a moment ago. `is_stale`: the caller has just read the assistant of this very agent, and its TTL has passed.
    Raises CatalogueUnavailable, and AgentRejected when the agent's row cannot be served.
    """
    identifier = agent_id if isinstance(agent_id, UUID) else find_uuid(agent_id)
    if identifier is None:
        return None
    store, is_new = sync_store(storage), False
    ttl = cache_ttl if isinstance(cache_ttl, timedelta) else timedelta(seconds=cache_ttl)
    if not is_stale:
        found = await _find(store, identifier, owner_id, options)
        identifier, is_new = found.agent_id, found.existing is None
        if await found.is_fresh(store, ttl):
            within = _is_within(found.existing, organizations)
            LAZY_SYNCS.inc("hit" if within else "miss")
            return found.assistant_id if within else None
    if misses is not None and misses.has(identifier, organizations):
        LAZY_SYNCS.inc("miss")
        return None
    context = SyncContext(pool, store, owner_id, SYSTEM_OWNER, graphs, options)
    # callers of different organizations never share an answer, and every user of a template has their own
    key = (id(pool), id(storage), identifier, organizations, owner_id if options.templates else None)
    return await _flights.share(key, lambda: _sync(context, identifier, organizations, misses, is_new=is_new))


@dataclass(frozen=True, slots=True)
class _Found:
    """An agent's assistant as the caller finds it. `ledger_id`: its key in the ledger."""

    agent_id: UUID
    assistant_id: str
    ledger_id: UUID
    existing: Any

    async def is_fresh(self, store: SyncStore, ttl: timedelta) -> bool:
        if self.existing is None or is_retired(self.existing):
            return False
        synced_at = _time(mapping_field(self.existing, "metadata").get("synced_at"))
        return await store.fresh(self.ledger_id, ttl, synced_at=synced_at)


async def _find(store: SyncStore, identifier: UUID, owner_id: str, options: AgentSyncOptions) -> _Found:
    copy = await find_copy(store.assistants, identifier, owner_id) if options.templates else None
    if copy is not None and not is_retired(copy[1]):
        agent_id, existing = copy
        copy_id = user_assistant_id(agent_id, owner_id)
        return _Found(agent_id, str(copy_id), store.copy_ledger_id(agent_id, copy_id), existing)
    agent_id = identifier if copy is None else copy[0]
    existing, _ = await find_assistant(store.assistants, str(agent_id), owner_id)
    return _Found(agent_id, str(agent_id), agent_id, existing)


async def _sync(
    context: SyncContext,
    agent_id: UUID,
    organizations: frozenset[UUID] | None,
    misses: NegativeCache | None,
    *,
    is_new: bool,
) -> str | None:
    """Read the agent again when a later version was applied before this one was written."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(StaleRead):
            return await _read_and_apply(context, agent_id, organizations, misses, is_new=is_new)
        is_new = False
    return await _read_and_apply(context, agent_id, organizations, misses, is_new=is_new)


async def _read_and_apply(
    context: SyncContext,
    agent_id: UUID,
    organizations: frozenset[UUID] | None,
    misses: NegativeCache | None,
    *,
    is_new: bool,
) -> str | None:
    generation = 0 if misses is None else misses.generation
    try:
        agent = await fetch_active_agent_by_id(
            context.pool, agent_id, organizations=organizations, source=context.options.source
        )
    except CatalogueAbsent:
        if context.options.scope.type == "none":
            return None  # this server has no catalogue, and no setting says that it should
        raise
    except AgentRejected as rejection:
        await context.store.record([failed(agent_id, rejection)])
        LAZY_SYNCS.inc("rejected")
        raise
    if agent is None:
        LAZY_SYNCS.inc("miss")
        await _record_missing(context, agent_id, organizations)
        if misses is not None:
            misses.add(agent_id, organizations, generation)
        return None
    if not is_template(agent, context.options):
        result = await apply_shared(context, agent, is_new=is_new)
    elif context.owner_id == SYSTEM_OWNER:
        return str(agent_id)
    else:
        result = await apply_copy(context, agent)
    LAZY_SYNCS.inc("created" if result.action == SyncAction.CREATED else "refreshed")
    return result.assistant_id


async def _record_missing(context: SyncContext, agent_id: UUID, organizations: frozenset[UUID] | None) -> None:
    """Only a caller who may see every organization knows that an agent is gone; from others it may be hidden."""
    if organizations is None:
        await context.store.record([SyncOutcome(agent_id, SyncAction.MISSING)])


def _is_within(existing: Any, organizations: frozenset[UUID] | None) -> bool:
    if organizations is None:
        return True
    return str(mapping_field(existing, "metadata").get("supabase_organization_id")) in set(map(str, organizations))


def _time(text: Any) -> datetime | None:
    """An ISO 8601 time, or None for what is not one."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
