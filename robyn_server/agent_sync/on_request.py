"""One agent because an operator said so: whatever its TTL, and whether or not anybody has referenced it before."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Conflict
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import fetch_active_agent_by_id
from .changed import _retire
from .errors import AgentRejected
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool
from .single import SyncContext, apply_and_note, failed


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
        agent = await fetch_active_agent_by_id(pool, agent_id)
        if agent is None or (scope.type == "org" and agent.organization_id not in scope.organization_ids):
            return None if await _retire(context, agent_id) is None else SyncOutcome(agent_id, SyncAction.MISSING)
        return (await apply_and_note(context, agent)).outcome()
    except (AgentRejected, Conflict) as error:
        outcome = failed(agent_id, error)
        await context.ledger.record([outcome])
        return outcome
