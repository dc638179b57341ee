"""One agent on its first reference, and again when its TTL has passed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome, field_of
from robyn_server.core.ids import find_uuid
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import fetch_active_agent_by_id
from .errors import AgentRejected, CatalogueAbsent
from .memory_ledger import ledger_of
from .misses import Misses
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool
from .single import SyncContext, apply_and_note, failed, find_assistant
from .single_flight import SingleFlight

DEFAULT_TTL = timedelta(minutes=5)
_flights: SingleFlight[str | None] = SingleFlight()


async def lazy_sync_agent(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent_id: UUID | str,
    owner_id: str,
    cache_ttl: timedelta = DEFAULT_TTL,
    organizations: frozenset[UUID] | None = None,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    misses: Misses | None = None,
) -> str | None:
    """The id of the agent's assistant, or None when there is no such active agent in `organizations` (None: in any).

    Within `cache_ttl` the catalogue is not asked. `owner_id` asks; what is created belongs to the server, as every agent is shared
    within its organisation. `misses`: what was unknown a moment ago is unknown, without a query. Raises CatalogueUnavailable, and
    AgentRejected when the agent's row cannot be served.
    """
    identifier = agent_id if isinstance(agent_id, UUID) else find_uuid(agent_id)
    if identifier is None:
        return None
    existing, _ = await find_assistant(storage.assistants, str(identifier), owner_id)
    if existing is not None and await _is_fresh(storage, existing, identifier, cache_ttl):
        return str(identifier) if _is_within(existing, organizations) else None
    if misses is not None and misses.has(identifier, organizations):
        return None
    context = SyncContext(pool, storage, owner_id, SYSTEM_OWNER, graphs, options)
    # callers of different organisations never share an answer
    key = (id(pool), id(storage), identifier, organizations)
    return await _flights.share(key, lambda: _sync(context, identifier, organizations, misses))


async def _sync(
    context: SyncContext, agent_id: UUID, organizations: frozenset[UUID] | None, misses: Misses | None
) -> str | None:
    ticket = 0 if misses is None else misses.ticket()
    try:
        agent = await fetch_active_agent_by_id(context.pool, agent_id, organizations=organizations)
    except CatalogueAbsent:
        if context.options.scope.type == "none":
            return None  # this server has no catalogue, and nobody said that it should
        raise
    except AgentRejected as rejection:
        await context.ledger.record([failed(agent_id, rejection)])
        raise
    if agent is None:
        await _note_missing(context, agent_id, organizations)
        if misses is not None:
            misses.remember(agent_id, organizations, ticket)
        return None
    return (await apply_and_note(context, agent)).assistant_id


async def _note_missing(context: SyncContext, agent_id: UUID, organizations: frozenset[UUID] | None) -> None:
    """Only who may see every organisation can tell that an agent is gone; to others it may just not be shown."""
    if organizations is None:
        await context.ledger.record([SyncOutcome(agent_id, SyncAction.MISSING)])


async def _is_fresh(storage: AssistantStorageProtocol, existing: Any, agent_id: UUID, ttl: timedelta) -> bool:
    synced_at = _moment((field_of(existing, "metadata") or {}).get("synced_at"))
    return await ledger_of(storage).fresh(agent_id, ttl, synced_at=synced_at)


def _is_within(existing: Any, organizations: frozenset[UUID] | None) -> bool:
    if organizations is None:
        return True
    return str((field_of(existing, "metadata") or {}).get("supabase_organization_id")) in set(map(str, organizations))


def _moment(text: Any) -> datetime | None:
    """An ISO 8601 time, or None for what is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
