"""Agents one at a time, several at once: the whole path of a storage that cannot do better, and the last resort of one that can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from robyn_server.core.catalogue import SyncOutcome

from .books import Books
from .catalogue import agent_pages
from .errors import AgentRejected
from .model import AgentSyncData
from .scope import AgentSyncScope
from .single import SyncContext, apply_agent, failed


async def sync_one_by_one(context: SyncContext, scope: AgentSyncScope, books: Books) -> None:
    """The whole scope. Raises CatalogueUnavailable, and what the ledger raises; what was synced until then stays."""
    rejected: list[AgentRejected] = []
    pages: AsyncGenerator[list[AgentSyncData], None]
    async with aclosing(
        agent_pages(context.pool, scope, rejected, size=context.options.page_size, source=context.options.source)
    ) as pages:
        async for agents in pages:
            outcomes = [failed(rejection.agent_id, rejection) for rejection in rejected]
            rejected.clear()
            await books.note(outcomes + await sync_each(context, agents, books))


async def sync_each(context: SyncContext, agents: Iterable[AgentSyncData], books: Books) -> list[SyncOutcome]:
    """The outcome of each, not yet noted. `concurrency` tasks share them: each takes the next when it is done with its last."""
    remaining, outcomes = iter(agents), list[SyncOutcome]()
    async with asyncio.TaskGroup() as group:
        for _ in range(context.options.concurrency):
            group.create_task(_take(context, remaining, outcomes, books))
    return outcomes


async def _take(
    context: SyncContext, remaining: Iterator[AgentSyncData], outcomes: list[SyncOutcome], books: Books
) -> None:
    for agent in remaining:
        try:
            outcomes.append(await _one(context, agent, books))
        except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, is one failure: its reason is kept
            outcomes.append(failed(agent.agent_id, error))


async def _one(context: SyncContext, agent: AgentSyncData, books: Books) -> SyncOutcome:
    result = await apply_agent(context, agent)
    if result.write_back_error is not None:
        books.tell_owed(agent.agent_id, result.write_back_error)
    return result.outcome()
