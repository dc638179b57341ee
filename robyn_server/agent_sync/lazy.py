"""One agent on its first reference, and again when its TTL has passed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from robyn_server.core.catalogue import Superseded, SyncAction, SyncOutcome, field_of
from robyn_server.core.ids import find_uuid, user_assistant_id
from robyn_server.core.principal import SYSTEM_OWNER
from robyn_server.metrics.definitions import LAZY_SYNCS

from .catalogue import fetch_active_agent_by_id
from .errors import AgentRejected, CatalogueAbsent
from .memory_ledger import ledger_of
from .misses import Misses
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool
from .sharing import is_template
from .single import ATTEMPTS, SyncContext, failed, find_assistant, is_retired
from .single_flight import SingleFlight
from .templates import apply_copy, apply_shared, find_copy, line_of

DEFAULT_TTL = timedelta(minutes=5)
_flights: SingleFlight[str | None] = SingleFlight()


@dataclass(frozen=True, slots=True)
class _Found:
    """What storage has of an agent for the one who asks. `line`: what the ledger calls it."""

    agent_id: UUID
    assistant_id: str
    line: UUID
    existing: Any

    async def is_fresh(self, storage: AssistantStorageProtocol, ttl: timedelta) -> bool:
        if self.existing is None or is_retired(self.existing):
            return False
        synced_at = _moment((field_of(self.existing, "metadata") or {}).get("synced_at"))
        return await ledger_of(storage).fresh(self.line, ttl, synced_at=synced_at)


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

    Within `cache_ttl` the catalogue is not asked. `owner_id` asks; what is created belongs to the server, as an agent is shared within
    its organisation. With `options.templates` one that is not global is a template: what is created, and returned, is the copy of
    `owner_id`, which `agent_id` may also name by its own id; for the server itself (`system`) nothing is created, and the agent's id
    says that there is such an agent. `misses`: what was unknown a moment ago is unknown, without a query. Raises CatalogueUnavailable, and
    AgentRejected when the agent's row cannot be served.
    """
    identifier = agent_id if isinstance(agent_id, UUID) else find_uuid(agent_id)
    if identifier is None:
        return None
    found = await _find(storage, identifier, owner_id, options)
    identifier = found.agent_id
    if await found.is_fresh(storage, cache_ttl):
        within = _is_within(found.existing, organizations)
        LAZY_SYNCS.inc("hit" if within else "miss")
        return found.assistant_id if within else None
    if misses is not None and misses.has(identifier, organizations):
        LAZY_SYNCS.inc("miss")
        return None
    context = SyncContext(pool, storage, owner_id, SYSTEM_OWNER, graphs, options)
    # callers of different organisations never share an answer, and of a template every user has their own
    key = (id(pool), id(storage), identifier, organizations, owner_id if options.templates else None)
    return await _flights.share(key, lambda: _sync(context, identifier, organizations, misses))


async def _sync(
    context: SyncContext, agent_id: UUID, organizations: frozenset[UUID] | None, misses: Misses | None
) -> str | None:
    """What was read is old by the time it is written if somebody applied a later reading: then the agent is read again."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Superseded):
            return await _read_and_apply(context, agent_id, organizations, misses)
    return await _read_and_apply(context, agent_id, organizations, misses)


async def _read_and_apply(
    context: SyncContext, agent_id: UUID, organizations: frozenset[UUID] | None, misses: Misses | None
) -> str | None:
    ticket = 0 if misses is None else misses.ticket()
    try:
        agent = await fetch_active_agent_by_id(
            context.pool, agent_id, organizations=organizations, source=context.options.source
        )
    except CatalogueAbsent:
        if context.options.scope.type == "none":
            return None  # this server has no catalogue, and nobody said that it should
        raise
    except AgentRejected as rejection:
        await context.ledger.record([failed(agent_id, rejection)])
        LAZY_SYNCS.inc("rejected")
        raise
    if agent is None:
        LAZY_SYNCS.inc("miss")
        await _note_missing(context, agent_id, organizations)
        if misses is not None:
            misses.remember(agent_id, organizations, ticket)
        return None
    if not is_template(agent, context.options):
        result = await apply_shared(context, agent)
    elif context.owner_id == SYSTEM_OWNER:
        return str(agent_id)
    else:
        result = await apply_copy(context, agent)
    LAZY_SYNCS.inc("created" if result.action == SyncAction.CREATED else "refreshed")
    return result.assistant_id


async def _find(
    storage: AssistantStorageProtocol, identifier: UUID, owner_id: str, options: AgentSyncOptions
) -> _Found:
    copy = await find_copy(storage.assistants, identifier, owner_id) if options.templates else None
    if copy is not None and not is_retired(copy[1]):
        agent_id, existing = copy
        own = user_assistant_id(agent_id, owner_id)
        return _Found(agent_id, str(own), line_of(storage, agent_id, owner_id), existing)
    agent_id = identifier if copy is None else copy[0]
    existing, _ = await find_assistant(storage.assistants, str(agent_id), owner_id)
    return _Found(agent_id, str(agent_id), agent_id, existing)


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
