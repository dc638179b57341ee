"""Agents that the change feed names: brought up to date, or retired where the catalogue has them no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from uuid import UUID

import structlog

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Conflict
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import fetch_active_agent_by_id
from .errors import AgentRejected
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool, is_retirement
from .single import SyncContext, apply_and_note, find_assistant

_log = structlog.get_logger(__name__)


async def sync_changed_agents(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent_ids: Iterable[UUID],
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> dict[str, int]:
    """Counters by action. A bad row is one failure, noted in the ledger; its assistant stays as it was.

    Agents outside `options.scope` are retired; with scope `none` only those are looked at that somebody has referenced before.
    Raises CatalogueUnavailable: nothing is lost then, as long as the caller tries again.
    """
    context = SyncContext(pool, storage, SYSTEM_OWNER, SYSTEM_OWNER, graphs, options)
    room = asyncio.Semaphore(options.concurrency)
    counts: Counter[SyncAction] = Counter()

    async def one(agent_id: UUID) -> None:
        async with room:
            if (action := await _sync(context, agent_id)) is not None:
                counts[action] += 1

    async with asyncio.TaskGroup() as group:
        for agent_id in agent_ids:
            group.create_task(one(agent_id))
    return {str(action): count for action, count in counts.items()}


async def _sync(context: SyncContext, agent_id: UUID) -> SyncAction | None:
    scope = context.options.scope
    try:
        agent = await fetch_active_agent_by_id(context.pool, agent_id)
        if agent is None or (scope.type == "org" and agent.organization_id not in scope.organization_ids):
            return await _retire(context, agent_id)
        if scope.type == "none" and not await _is_known(context, agent_id):
            return None
        return SyncAction((await apply_and_note(context, agent)).action)
    except (AgentRejected, Conflict) as error:
        _log.warning("a changed agent cannot be served", agent_id=str(agent_id), reason=error.detail)
        return SyncAction.FAILED


async def _is_known(context: SyncContext, agent_id: UUID) -> bool:
    existing, _ = await find_assistant(context.storage.assistants, str(agent_id), SYSTEM_OWNER)
    return existing is not None


async def _retire(context: SyncContext, agent_id: UUID) -> SyncAction | None:
    retirement = getattr(context.storage, "retirement", None)
    if not is_retirement(retirement) or not await retirement.retire([agent_id]):
        return None
    await context.ledger.record([SyncOutcome(agent_id, SyncAction.MISSING)])
    return SyncAction.MISSING
