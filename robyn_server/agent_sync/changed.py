"""Agents that the change feed names: brought up to date, or retired where the catalogue has them no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

import structlog

from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import CatalogueUnavailable, Unavailable
from robyn_server.core.principal import SYSTEM_OWNER

from .catalogue import absent_since, fetch_active_agent_by_id
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool, is_retirement
from .sharing import is_template
from .single import SyncContext, failed, find_assistant
from .templates import end_copies, sync_as_it_is

READ_SECONDS = 5.0
"""One agent is read in milliseconds. An edit must not wait for a connection that is half open."""

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
    Raises CatalogueUnavailable or Unavailable: nothing is lost then, as long as the caller tries again.
    """
    context = SyncContext(pool, storage, SYSTEM_OWNER, SYSTEM_OWNER, graphs, options)
    room = asyncio.Semaphore(options.concurrency)
    counts: Counter[SyncAction] = Counter()

    async def one(agent_id: UUID) -> None:
        async with room:
            if (action := await _sync(context, agent_id)) is not None:
                counts[action] += 1

    try:
        async with asyncio.TaskGroup() as group:
            for agent_id in agent_ids:
                group.create_task(one(agent_id))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return {str(action): count for action, count in counts.items()}


async def _sync(context: SyncContext, agent_id: UUID) -> SyncAction | None:
    try:
        return await _apply(context, agent_id)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, must not keep the others waiting for ever
        outcome = failed(agent_id, error)
        await context.ledger.record([outcome])
        _log.warning("a changed agent cannot be served", agent_id=str(agent_id), reason=outcome.failure)
        return SyncAction.FAILED


async def _apply(context: SyncContext, agent_id: UUID) -> SyncAction | None:
    scope = context.options.scope
    agent = await _read(context, agent_id)
    if agent is None:
        return await retire_absent_agent(context, agent_id)
    if scope.type == "org" and agent.organization_id not in scope.organization_ids:
        return await retire_agent(context, agent_id, agent.read_at)
    if scope.type == "none" and not is_template(agent, context.options) and not await _is_known(context, agent_id):
        await end_copies(context, agent_id)
        return None
    return (await sync_as_it_is(context, agent)).action


async def _read(context: SyncContext, agent_id: UUID) -> AgentSyncData | None:
    """Raises CatalogueUnavailable after READ_SECONDS, whatever the pool does: one that takes a connection back waits until a query
    that was cancelled is answered, and through a connection that is half open no answer comes."""
    reading = asyncio.create_task(fetch_active_agent_by_id(context.pool, agent_id, source=context.options.source))
    try:
        await asyncio.wait([reading], timeout=READ_SECONDS)
    finally:
        reading.cancel()  # of one that is done this is nothing
    if not reading.done():
        reading.add_done_callback(_seen)
        raise CatalogueUnavailable("The catalogue's database does not answer; try again")
    return reading.result()


def _seen(reading: asyncio.Task[AgentSyncData | None]) -> None:
    """What it raised in the end is nobody's business any more; unseen it would be logged as lost."""
    if not reading.cancelled():
        reading.exception()


async def _is_known(context: SyncContext, agent_id: UUID) -> bool:
    existing, _ = await find_assistant(context.storage.assistants, str(agent_id), SYSTEM_OWNER)
    return existing is not None


async def retire_absent_agent(context: SyncContext, agent_id: UUID) -> SyncAction | None:
    """As retire_agent, of one that was not there a moment ago. Who came back meanwhile stays: whoever brought it back tells of it."""
    if not is_retirement(getattr(context.storage, "retirement", None)):
        return None
    read_at = await absent_since(context.pool, agent_id, context.options.source)
    return None if read_at is None else await retire_agent(context, agent_id, read_at)


async def retire_agent(context: SyncContext, agent_id: UUID, read_at: datetime | None) -> SyncAction | None:
    """MISSING, which is in the ledger then; None where there was nothing to retire. `read_at`: when the catalogue said so."""
    retirement = getattr(context.storage, "retirement", None)
    if not is_retirement(retirement) or not await retirement.retire([agent_id], read_at):
        return None
    await context.ledger.record([SyncOutcome(agent_id, SyncAction.MISSING)])
    return SyncAction.MISSING
