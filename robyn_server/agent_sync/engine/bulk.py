"""Sync a whole scope by the page: read fingerprints, then read, map and write only what differs, a page in one
statement.

Rules
  1. Where nothing changed, only fingerprints are read and no assistant is written; the TTL is renewed.
  2. A fingerprint is stored together with the content that it was read with, in one statement, never with a later or an
     earlier one.
  3. A batch that the database refuses is halved until the bad row stands alone. That row is then synced as a single
     agent, and so is one that other transactions keep holding: so the reason is the same, and the others are untouched.
  4. Memory is a page, whatever the size of the catalogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.fingerprints import Fingerprint, FingerprintedCatalogue, mapping_fingerprint
from robyn_server.agent_sync.catalogue_db.reader import agent_pages, parse_agent
from robyn_server.agent_sync.errors import AgentRejected
from robyn_server.agent_sync.model import AgentSyncData
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.concurrency.prefetch import prefetch
from robyn_server.core.catalogue.fields import AppliedAgent, SyncAction, SyncOutcome
from robyn_server.core.errors import Unavailable

from .pages import MappedAgent, MappedPage, map_rows
from .recorder import SyncRecorder
from .single import ATTEMPTS, SyncContext, apply_agent, failed
from .write_back import may_write_back, write_back_page

FINGERPRINTS_PER_AGENT = 2
"""A page of fingerprints is longer than one of agents by this factor.

Larger ones are no faster: the catalogue sorts them on disk.
"""


async def sync_one_by_one(context: SyncContext, scope: AgentSyncScope, recorder: SyncRecorder) -> None:
    """Sync a whole scope on a storage that cannot work by the page. Raises as `sync_in_bulk` does."""
    rejected: list[AgentRejected] = []
    pages: AsyncGenerator[list[AgentSyncData], None]
    async with aclosing(
        agent_pages(context.pool, scope, rejected, size=context.options.page_size, source=context.options.source)
    ) as pages:
        async for agents in pages:
            outcomes = [failed(rejection.agent_id, rejection) for rejection in rejected]
            rejected.clear()
            await recorder.record(outcomes + await sync_each(context, agents))


async def sync_each(context: SyncContext, agents: Iterable[AgentSyncData]) -> list[SyncOutcome]:
    """The outcome of each, not yet recorded.

    `concurrency` tasks share them: each takes the next when it is done with its last.
    """
    remaining, outcomes = iter(agents), list[SyncOutcome]()
    async with asyncio.TaskGroup() as group:
        for _ in range(context.options.concurrency):
            group.create_task(_sync_next(context, remaining, outcomes))
    return outcomes


async def _sync_next(context: SyncContext, remaining: Iterator[AgentSyncData], outcomes: list[SyncOutcome]) -> None:
    for agent in remaining:
        try:
            result = await apply_agent(context, agent)
        except Exception as error:  # noqa: BLE001  a problem of one agent, of whatever kind, is one failure: its reason is kept
            outcomes.append(failed(agent.agent_id, error, agent.name))
            continue
        if result.write_back_error is not None:
            context.log.write_back_failed(agent.agent_id, result.write_back_error)
        outcomes.append(result.outcome())


async def sync_in_bulk(context: SyncContext, scope: AgentSyncScope, recorder: SyncRecorder) -> None:
    """Sync a whole scope. Raises CatalogueUnavailable, and Unavailable when the store is away; what was synced until
    then stays.

    Three steps run at once: a page of fingerprints is read, the changes of the page before are mapped, the batch before
    is applied.
    """
    writer = PageWriter(context, recorder)
    sync = _BulkSync(context, scope, recorder, writer)
    async with aclosing(prefetch(sync.pages())) as pages:
        async for page in pages:
            await writer.apply(page)


class _BulkSync:
    def __init__(self, context: SyncContext, scope: AgentSyncScope, recorder: SyncRecorder, writer: PageWriter) -> None:
        self._catalogue = fingerprinted(context, scope)
        self._context = context
        self._recorder = recorder
        self._writer = writer

    async def pages(self) -> AsyncGenerator[MappedPage, None]:
        """Agents that differ, read and mapped, `page_size` at a time."""
        size = self._context.options.page_size
        async with aclosing(prefetch(self._catalogue.pages(size * FINGERPRINTS_PER_AGENT))) as pages:
            async for page in pages:
                changed = await self._changed(page)
                self._catalogue.with_rows = len(changed) == len(page)
                for start in range(0, len(changed), size):
                    yield await map_rows(self._context, await self._rows(changed[start : start + size]))

    async def _rows(self, changed: Sequence[Fingerprint]) -> Sequence[Any]:
        rows = [each.row for each in changed]
        return await self._catalogue.rows([each.agent_id for each in changed]) if None in rows else rows

    async def _changed(self, page: Sequence[Fingerprint]) -> list[Fingerprint]:
        """Those of `page` that have to be compared; the others are done."""
        fingerprints = {each.agent_id: each.value for each in page}
        unchanged = await self._context.store.unchanged(fingerprints, self._context.owner_id, page[0].read_at)
        self._recorder.counts[SyncAction.SKIPPED] += len(unchanged)
        unwritten = [each.agent_id for each in page if each.agent_id in unchanged and not each.is_written_back]
        await self._writer.write_back(dict.fromkeys(unwritten, SyncAction.SKIPPED))
        return [each for each in page if each.agent_id not in unchanged]


def fingerprinted(context: SyncContext, scope: AgentSyncScope) -> FingerprintedCatalogue:
    mapping = mapping_fingerprint(context.options, context.graphs)
    return FingerprintedCatalogue(context.pool, scope, mapping, context.options.source)


class PageWriter:
    """Write the assistants of a page of agents, all of them shared."""

    def __init__(self, context: SyncContext, recorder: SyncRecorder) -> None:
        self._context = context
        self._recorder = recorder

    async def apply(self, page: MappedPage) -> None:
        await self._recorder.record(page.failures)
        left = [parse_agent(agent.row, self._context.options.source) for agent in await self._apply(page.agents)]
        if left:
            await self._recorder.record(await sync_each(self._context, left))

    async def _apply(self, agents: Sequence[MappedAgent], attempts: int = ATTEMPTS) -> list[MappedAgent]:
        """Apply what can be applied as a batch; returns what is left to be synced as single agents."""
        if not agents or not attempts:
            return list(agents)
        try:
            applied = await self._context.store.apply(
                [(each.payload, each.row["fingerprint"]) for each in agents], self._context.owner_id
            )
        except Unavailable:
            if attempts == 1:
                raise
            return await self._apply(agents, 1)
        except Exception:  # noqa: BLE001  one of them is refused: the half without it can be applied
            if len(agents) == 1:
                return list(agents)
            half = len(agents) // 2
            return await self._apply(agents[:half], attempts) + await self._apply(agents[half:], attempts)
        await self._count(agents, applied)
        return await self._apply([each for each in agents if each.row["agent_id"] not in applied], attempts - 1)

    async def _count(self, agents: Sequence[MappedAgent], applied: Mapping[UUID, AppliedAgent]) -> None:
        """Count what `apply` has recorded in the ledger already, and write it back."""
        self._recorder.counts.update(each.action for each in applied.values())
        for agent in agents:
            action, fields = applied.get(agent.row["agent_id"], (None, ()))
            if action in {SyncAction.CREATED, SyncAction.UPDATED}:
                self._context.log.changed(action, agent.row["agent_id"], agent.payload["name"], fields)
        unwritten = [
            each.row["agent_id"]
            for each in agents
            if each.row["langgraph_assistant_id"] != each.payload["assistant_id"]
        ]
        await self.write_back({agent_id: applied[agent_id].action for agent_id in unwritten if agent_id in applied})

    async def write_back(self, actions: Mapping[UUID, SyncAction]) -> None:
        """Tell the catalogue; what it refuses is pending."""
        if not actions or not may_write_back(self._context.pool, self._context.options):
            return
        failures = await write_back_page(self._context.pool, list(actions), self._context.options.source)
        for agent_id, reason in failures.items():
            self._context.log.write_back_failed(agent_id, reason)
        await self._recorder.record_pending(
            [SyncOutcome(agent_id, actions[agent_id], agent_id, write_back_pending=True) for agent_id in failures]
        )
