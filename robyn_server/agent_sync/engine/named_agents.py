"""Sync agents by their ids: those that the change feed names, and one that an operator names."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.reader import absent_since, fetch_active_agent_by_id
from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.agent_sync.model import AgentSyncData
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.sharing import is_template, shared_in
from robyn_server.agent_sync.store import AssistantStorageProtocol, PlainStore
from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome
from robyn_server.core.errors import CatalogueUnavailable, Unavailable

from .bulk import PageWriter, fingerprinted
from .pages import map_rows
from .recorder import SyncRecorder
from .single import SyncContext, failed, find_assistant
from .sync_log import SyncLog
from .templates import retire_copies, sync_agent

MANY = 20
"""From this number of edits on, agents are synced by the page: 300 take as long as some ten one by one."""

READ_SECONDS = 5.0
"""An agent is read in milliseconds, a page in tens. An edit must not wait for a connection that is half open."""

T = TypeVar("T")


async def sync_named_agent(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    agent_id: UUID,
    *,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    log: SyncLog | None = None,
) -> SyncOutcome | None:
    """Sync one agent, whatever its TTL, and whether or not it has been referenced; returns the outcome that is in the
    ledger.

    MISSING: its assistant went out of service. None: nobody knows such an agent. Raises Unavailable.
    """
    return await _sync(SyncContext.of_system(pool, storage, graphs, options, log), agent_id)


async def sync_changed_agents(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    agent_ids: Iterable[UUID],
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    log: SyncLog | None = None,
) -> dict[str, int]:
    """Sync agents that were edited; returns counters by action. A bad row is one failure; its assistant stays as it
    was.

    Agents outside `options.scope` are retired; with scope `none` an agent that nobody has referenced is left alone.
    Raises Unavailable: nothing is lost then, as long as the caller tries again.
    """
    context = SyncContext.of_system(pool, storage, graphs, options, log)
    context.log.begin()
    recorder = SyncRecorder(context.store, context.log)
    counts = recorder.counts
    left = await _sync_pages(context, recorder, list(agent_ids))
    limit = asyncio.Semaphore(options.concurrency)

    async def sync_one(agent_id: UUID) -> None:
        async with limit:
            outcome = await _sync(context, agent_id, only_known=options.scope.type == "none")
        if outcome is None:
            return
        counts[outcome.action] += 1
        if outcome.failure is not None:
            context.log.failed(outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for agent_id in left:
                group.create_task(sync_one(agent_id))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return {str(action): count for action, count in counts.items()}


async def _sync_pages(context: SyncContext, recorder: SyncRecorder, agent_ids: Sequence[UUID]) -> Sequence[UUID]:
    """Sync many shared agents by the page; returns the ids of the others, which are synced one by one."""
    options = context.options
    if len(agent_ids) < MANY or options.scope.type == "none" or isinstance(context.store, PlainStore):
        return agent_ids
    catalogue = fingerprinted(context, shared_in(options.scope, options))
    writer = PageWriter(context, recorder)
    found = set[UUID]()
    for start in range(0, len(agent_ids), options.page_size):
        rows = await _within_deadline(catalogue.rows(agent_ids[start : start + options.page_size]))
        page = [row["agent_id"] for row in rows]
        await writer.apply(await map_rows(context, rows))
        if options.templates:
            await context.store.retire_copies(page)
        found.update(page)
    return [agent_id for agent_id in agent_ids if agent_id not in found]


async def _sync(context: SyncContext, agent_id: UUID, *, only_known: bool = False) -> SyncOutcome | None:
    try:
        return await _apply(context, agent_id, only_known=only_known)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  a problem of one agent, of whatever kind, is one failure: its reason is kept
        outcome = failed(agent_id, error)
        await context.store.record([outcome])
        return outcome


async def _apply(context: SyncContext, agent_id: UUID, *, only_known: bool) -> SyncOutcome | None:
    """Outside the scope an agent is retired; inside, whatever serves it is made equal to it."""
    scope = context.options.scope
    agent = await _read(context, agent_id)
    if agent is None:
        read_at = await absent_since(context.pool, agent_id, context.options.source)
        # an agent that came back meanwhile stays: its edit is announced too
        return None if read_at is None else await _retire(context, agent_id, read_at)
    if scope.type == "org" and agent.organization_id not in scope.organization_ids:
        return await _retire(context, agent_id, agent.read_at)
    if only_known and not is_template(agent, context.options) and not await _is_known(context, agent_id):
        await retire_copies(context, agent_id)
        return None
    return await sync_agent(context, agent)


async def _read(context: SyncContext, agent_id: UUID) -> AgentSyncData | None:
    return await _within_deadline(fetch_active_agent_by_id(context.pool, agent_id, source=context.options.source))


async def _within_deadline(read: Coroutine[Any, Any, T]) -> T:
    """Raises CatalogueUnavailable after READ_SECONDS, even where the pool waits for a query that it cannot cancel."""
    reading = asyncio.create_task(read)
    try:
        await asyncio.wait([reading], timeout=READ_SECONDS)
    finally:
        reading.cancel()  # of one that is done this is nothing
    if not reading.done():
        reading.add_done_callback(_retrieve_exception)
        raise CatalogueUnavailable("The catalogue's database does not answer; try again")
    return reading.result()


def _retrieve_exception(reading: asyncio.Task[Any]) -> None:
    """Keep asyncio from logging that the exception was never retrieved."""
    if not reading.cancelled():
        reading.exception()


async def _is_known(context: SyncContext, agent_id: UUID) -> bool:
    existing, _ = await find_assistant(context.store.assistants, str(agent_id), context.owner_id)
    return existing is not None


async def _retire(context: SyncContext, agent_id: UUID, read_at: datetime | None) -> SyncOutcome | None:
    """None where nothing was in service. `read_at`: when the catalogue said that the agent is gone."""
    retired = await context.store.retire([agent_id], read_at)
    outcome = SyncOutcome(agent_id, SyncAction.MISSING)
    await context.store.record([outcome])  # its last failure, if there was one, is not true any more
    if not retired:
        return None
    context.log.retired(agent_id)
    return outcome
