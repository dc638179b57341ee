"""One agent because an operator said so: whatever its TTL, and whether or not anybody has referenced it before."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Conflict
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import fetch_active_agent_by_id
from .changed import retire_absent_agent, retire_agent
from .errors import AgentRejected
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool
from .single import SyncContext, failed
from .templates import sync_as_it_is


async def sync_agent_on_request(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    agent_id: UUID,
    *,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> SyncOutcome | None:
    """The outcome, which is in the ledger too; MISSING: its assistant went out of service. None: nobody knows such an agent.

    Raises CatalogueUnavailable.
    """
    context = SyncContext(pool, storage, SYSTEM_OWNER, SYSTEM_OWNER, graphs, options)
    scope = options.scope
    try:
        agent = await fetch_active_agent_by_id(pool, agent_id, source=options.source)
        if agent is None:
            return _missing(agent_id, await retire_absent_agent(context, agent_id))
        if scope.type == "org" and agent.organization_id not in scope.organization_ids:
            return _missing(agent_id, await retire_agent(context, agent_id, agent.read_at))
        return await sync_as_it_is(context, agent)
    except (AgentRejected, Conflict) as error:
        outcome = failed(agent_id, error)
        await context.ledger.record([outcome])
        return outcome


def _missing(agent_id: UUID, action: SyncAction | None) -> SyncOutcome | None:
    return None if action is None else SyncOutcome(agent_id, action)
