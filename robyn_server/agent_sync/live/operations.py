"""Status and syncs on request, for operators: `AgentSyncOperations` of services, for the API and the command line.

Rules
  1. A dry run writes nothing in either database.
  2. Only the server's own scope, or a part of it, can be synced: the next pass would retire the rest.
  3. A scope narrower than the server's retires only what belongs to it, and reads each of those agents once more
     before.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from robyn_server.agent_sync import (
    AgentSyncOptions,
    AgentSyncScope,
    NegativeCache,
    find_absent_agents,
    name_of_source,
    parse_agent_sync_scope,
    plan_agent_sync,
    plan_named_agent,
    probe_catalogue,
    sync_named_agent,
)
from robyn_server.agent_sync.reports import CHANGES, SyncReport, SyncRequest
from robyn_server.core.catalogue.agent_change import RETIRED, AgentChange
from robyn_server.core.catalogue.fields import AgentSource, SyncAction
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Invalid, NotFound
from robyn_server.storage.agent_sync.passes import PassRecord
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView
from robyn_server.storage.postgres.pools import Pool

from .passes import SyncPasses, parse_scope_key

_PROBE_SECONDS = 5.0
_COUNTERS = ("total", SyncAction.CREATED, SyncAction.UPDATED, SyncAction.SKIPPED, SyncAction.FAILED, RETIRED)


class Operations:
    """`progress` is called with the number of further agents that a dry run has compared."""

    def __init__(
        self,
        pool: Pool,
        store: PostgresSyncStore,
        view: AgentSyncView,
        graph_ids: Sequence[str],
        options: AgentSyncOptions,
        *,
        passes: SyncPasses | None = None,
        misses: NegativeCache | None = None,
        is_feed_connected: Callable[[], bool] = lambda: False,
        feed: Callable[[], dict[str, Any]] = dict,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._store = store
        self._view = view
        self._graph_ids = list(graph_ids)
        self._options = options
        self._passes = passes or SyncPasses(pool, store, graph_ids, options)
        self._misses = NegativeCache() if misses is None else misses  # an empty one is false
        self._is_feed_connected = is_feed_connected
        self._feed = feed
        self._progress = progress
        self._is_syncing = False

    async def status(self, *, after: UUID | None, limit: int) -> dict[str, Any]:
        counts, failures = await self._view.count_problems(), await self._view.failures(after, limit + 1)
        shown, passes = failures[:limit], [_pass(record) for record in await self._passes.last()]
        own = name_of_source(self._options.source.origin)
        return {
            "scope": str(self._options.scope),
            "templates": self._options.templates,
            "catalogue": str(self._options.source),
            "feed_connected": self._is_feed_connected(),
            "feed": self._feed(),
            "last_pass": next((each for each in passes if each["source"] == own), None),
            "passes": passes,
            "failures": {
                "total": counts.failures,
                "items": [
                    {
                        "agent_id": str(each.agent_id),
                        "source": name_of_source(AgentSource(each.source)),
                        "name": each.name,
                        "reason": each.reason,
                        "at": each.at,
                    }
                    for each in shown
                ],
                "next_after": str(shown[-1].agent_id) if len(failures) > limit else None,
            },
            "contract": await self._contract(),
            "owed_write_backs": counts.pending_write_backs,
        }

    async def _contract(self) -> dict[str, Any]:
        """A catalogue that is unavailable is a finding here, and no error."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                found = await probe_catalogue(self._pool, self._options.source)
        except CatalogueUnavailable as error:
            return {"reachable": False, "problems": [error.detail]}
        except TimeoutError:
            return {"reachable": False, "problems": [f"The catalogue did not answer within {_PROBE_SECONDS:g} seconds"]}
        return {
            "reachable": True,
            "problems": found.problems,
            "absent_columns": list(found.absent_columns),
            "can_write_back": found.can_write_back,
        }

    async def sync(self, request: SyncRequest) -> SyncReport:
        if request.agent_id is not None:
            return await self._one(request.agent_id, dry_run=request.dry_run)
        scope = self.scope_of(request.scope)
        if self._is_syncing:
            raise Conflict("A sync on request is running already; try again when it is done.", code="sync_running")
        self._is_syncing = True
        try:
            return await (self._plan(scope) if request.dry_run else self._run(scope))
        finally:
            self._is_syncing = False

    def scope_of(self, text: str | None) -> AgentSyncScope:
        """The requested scope. Raises Invalid naming the part that is wrong, or that is not the server's."""
        try:
            scope = self._options.scope if text is None else parse_agent_sync_scope(text)
        except ValueError as error:
            raise Invalid(f"scope: {error}", field="scope") from None
        if scope.type == "none":
            raise Invalid(
                "scope: nothing is in scope `none`; name `all` or org:<uuid> (`--scope`, or AGENT_SYNC_SCOPE)",
                field="scope",
            )
        own = self._options.scope
        if own.type == "org" and (scope.type == "all" or set(scope.organization_ids) - set(own.organization_ids)):
            raise Invalid(f"scope: {scope} is not within this server's AGENT_SYNC_SCOPE, {own}", field="scope")
        return scope

    async def _one(self, agent_id: UUID, *, dry_run: bool) -> SyncReport:
        started_at, began = await self._store.clock(), time.monotonic()
        change = await (self._planned(agent_id) if dry_run else self._synced(agent_id))
        if change is None:
            raise NotFound(f"Agent {agent_id} not found in the catalogue", field="agent_id")
        counters = _counters([change])
        changes = [] if change.action == SyncAction.SKIPPED else [change]
        seconds = time.monotonic() - began
        return SyncReport(str(self._options.scope), agent_id, dry_run, started_at, seconds, counters, changes, 0)

    async def _planned(self, agent_id: UUID) -> AgentChange | None:
        return await plan_named_agent(self._pool, self._view, agent_id, graphs=self._graph_ids, options=self._options)

    async def _synced(self, agent_id: UUID) -> AgentChange | None:
        self._misses.remove([agent_id])
        outcome = await sync_named_agent(
            self._pool, self._store, agent_id, graphs=self._graph_ids, options=self._options
        )
        if outcome is None:
            return None
        action = RETIRED if outcome.action is SyncAction.MISSING else outcome.action
        assistant = (await self._view.assistants([agent_id])).get(agent_id)
        return AgentChange(agent_id, action, None if assistant is None else assistant["name"], reason=outcome.failure)

    async def _plan(self, scope: AgentSyncScope) -> SyncReport:
        started_at, began = await self._store.clock(), time.monotonic()
        counts, listed, changed = Counter[str](), list[AgentChange](), 0

        def report(page: Sequence[AgentChange]) -> None:
            nonlocal changed
            counts.update(change.action for change in page)
            changes = [change for change in page if change.action != SyncAction.SKIPPED]
            changed += len(changes)
            listed.extend(changes[: CHANGES - len(listed)])
            self._progress(sum(change.action != RETIRED for change in page))  # of the catalogue, as `total` is

        await plan_agent_sync(
            self._pool,
            self._view,
            report,
            scope=scope,
            graphs=self._graph_ids,
            options=self._options,
            organizations=self._retirable(scope),
        )
        seconds = time.monotonic() - began
        return SyncReport(str(scope), None, True, started_at, seconds, _counted(counts), listed, changed - len(listed))

    async def _run(self, scope: AgentSyncScope) -> SyncReport:
        started_at, began = await self._store.clock(), time.monotonic()
        self._misses.clear()
        retire = None if self._is_own(scope) else lambda: self._retire_within(scope)
        counters = await self._passes.run(scope, retire)
        changes, total = await self._view.changes_since(started_at, CHANGES)
        seconds = time.monotonic() - began
        return SyncReport(str(scope), None, False, started_at, seconds, counters, changes, total - len(changes))

    async def _retire_within(self, scope: AgentSyncScope) -> int:
        """Each is read once more: it may have been added, or have come back, while the catalogue was read."""
        retired = 0
        options = replace(self._options, scope=scope)
        for agent_id in await find_absent_agents(self._pool, self._view, scope, self._retirable(scope), options):
            outcome = await sync_named_agent(self._pool, self._store, agent_id, graphs=self._graph_ids, options=options)
            retired += outcome is not None and outcome.action is SyncAction.MISSING
        return retired

    def _is_own(self, scope: AgentSyncScope) -> bool:
        own = self._options.scope
        return scope.type == own.type and set(scope.organization_ids) == set(own.organization_ids)

    def _retirable(self, scope: AgentSyncScope) -> list[UUID] | None:
        """The organizations whose assistants a sync of `scope` may retire; None: any."""
        return None if scope.type == "all" or self._is_own(scope) else scope.organization_ids


def _pass(record: PassRecord) -> dict[str, Any]:
    scope, source = parse_scope_key(record.scope)
    return {
        "scope": scope,
        "source": name_of_source(source),
        "at": record.started_at,
        "finished_at": record.finished_at,
        "replica": record.replica,
        "seconds": round(record.seconds, 3),
        "counters": record.counters,
        "failure": record.failure,
    }


def _counters(changes: Sequence[AgentChange]) -> dict[str, int]:
    return _counted(Counter(str(change.action) for change in changes))


def _counted(counts: Counter[str]) -> dict[str, int]:
    """As a sync counts: `total` has no retired agents, which are not in the catalogue."""
    total = counts.total() - counts[RETIRED]
    return {str(name): total if name == "total" else counts[str(name)] for name in _COUNTERS}
