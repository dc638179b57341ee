"""The whole scope at once, page by page. The bulk path will stand beside `_sync_page`, behind the same counters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import aclosing

import structlog

from robyn_server.core.catalogue import SyncAction, SyncOutcome

from .catalogue import agent_pages
from .errors import AgentRejected
from .model import AgentSyncData
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .protocols import AssistantStorageProtocol, CataloguePool
from .scope import AgentSyncScope
from .single import SyncContext, apply_agent, failed
from .write_back import log_write_back_failure, retry_write_backs

LOGGED_FAILURES = 20
"""Lines of reasons in the log of one sync; the ledger has them all."""

_COUNTERS = (SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED, SyncAction.FAILED)
_log = structlog.get_logger(__name__)


async def startup_agent_sync(
    pool: CataloguePool,
    storage: AssistantStorageProtocol,
    *,
    scope: AgentSyncScope,
    owner_id: str,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> dict[str, int]:
    """{total, created, updated, skipped, failed}. One agent's trouble is one `failed`, with its reason in log and ledger.

    Raises CatalogueUnavailable, and what the ledger raises when the server's own database is away; what was synced until then stays.
    """
    sync = _Sync(SyncContext(pool, storage, owner_id, owner_id, graphs, options))
    if scope.type != "none":
        if options.write_back:
            await retry_write_backs(pool, storage)
        await sync.run(scope)
    counters = {"total": sync.counts.total(), **{str(action): sync.counts[action] for action in _COUNTERS}}
    _log.info("agent sync finished", scope=str(scope), **counters)
    return counters


class _Sync:
    """One pass over a scope."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._logged = 0
        self.counts: Counter[SyncAction] = Counter()

    async def run(self, scope: AgentSyncScope) -> None:
        rejected: list[AgentRejected] = []
        async with aclosing(
            agent_pages(self._context.pool, scope, rejected, size=self._context.options.page_size)
        ) as pages:
            async for agents in pages:
                outcomes = [failed(rejection.agent_id, rejection) for rejection in rejected]
                rejected.clear()
                await self._sync_page(agents, outcomes)
                await self._note(outcomes)

    async def _sync_page(self, agents: list[AgentSyncData], outcomes: list[SyncOutcome]) -> None:
        """`concurrency` tasks share the page: each takes the next agent when it is done with its last."""
        remaining = iter(agents)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._context.options.concurrency):
                group.create_task(self._take(remaining, outcomes))

    async def _take(self, remaining: Iterator[AgentSyncData], outcomes: list[SyncOutcome]) -> None:
        for agent in remaining:
            try:
                outcomes.append(await self._one(agent))
            except Exception as error:  # noqa: BLE001  one agent's trouble, of whatever kind, is one failure: its reason is kept
                outcomes.append(failed(agent.agent_id, error))

    async def _one(self, agent: AgentSyncData) -> SyncOutcome:
        result = await apply_agent(self._context, agent)
        if result.write_back_error is not None and self._may_log():
            log_write_back_failure(agent.agent_id, result.write_back_error)
        return result.outcome()

    async def _note(self, outcomes: list[SyncOutcome]) -> None:
        self.counts.update(outcome.action for outcome in outcomes)
        for outcome in outcomes:
            if outcome.failure is not None and self._may_log():
                _log.warning("agent sync failed", agent_id=str(outcome.agent_id), reason=outcome.failure)
        if outcomes:
            await self._context.ledger.record(outcomes)

    def _may_log(self) -> bool:
        self._logged += 1
        if self._logged == LOGGED_FAILURES + 1:
            _log.warning("agent sync: further failures are only in the ledger")
        return self._logged <= LOGGED_FAILURES
