"""A dry run: the same sync as ever, on a store that reads the assistants and writes nothing.

The engine itself runs with `DryRunStore`, so a dry run cannot differ from the sync, as long as neither database changes
in between.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from robyn_server.agent_sync.catalogue_db.source import CataloguePool
from robyn_server.agent_sync.errors import AgentRejected
from robyn_server.agent_sync.options import DEFAULT_OPTIONS, AgentSyncOptions
from robyn_server.agent_sync.scope import AgentSyncScope
from robyn_server.agent_sync.store import InertStore
from robyn_server.core.access.principal import SYSTEM_OWNER
from robyn_server.core.catalogue.agent_change import RETIRED, AgentChange
from robyn_server.core.catalogue.fields import (
    AgentSource,
    AppliedAgent,
    SyncAction,
    SyncOutcome,
    catalogue_projection,
)
from robyn_server.core.errors import Conflict
from robyn_server.storage.agent_sync.view import AgentSyncView

from .full_pass import sync_scope
from .named_agents import sync_named_agent
from .recorder import SyncRecorder
from .retirement import retire_absent_agents
from .single import SyncContext, decide, differing_fields
from .sync_log import SyncLog

COMPARED_AT_ONCE = 50
"""Agents between which the event loop gets its turn: some 15 milliseconds."""


async def plan_agent_sync(
    pool: CataloguePool,
    view: AgentSyncView,
    report: Callable[[Sequence[AgentChange]], object],
    *,
    scope: AgentSyncScope,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
    organizations: Sequence[UUID] | None = None,
) -> None:
    """Report one change for every agent of `scope`, `skipped` ones included, and for what would be retired; in pages.

    `organizations`: only their assistants would be retired (None: all that are not in `scope`). Raises
    CatalogueUnavailable.
    """
    options = replace(options, write_back=False)
    store = DryRunStore(view, options.source.origin, report, organizations)
    log = SyncLog(is_quiet=True)
    await sync_scope(SyncContext.of_system(pool, store, graphs, options, log), scope, SyncRecorder(store, log))
    await retire_absent_agents(pool, store, scope, options)


async def plan_named_agent(
    pool: CataloguePool,
    view: AgentSyncView,
    agent_id: UUID,
    *,
    graphs: Collection[str] | None = None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> AgentChange | None:
    """The change of one agent; None when neither the catalogue nor the server knows it. Raises CatalogueUnavailable."""
    reported = list[AgentChange]()
    store = DryRunStore(view, options.source.origin, reported.extend)
    options, log = replace(options, write_back=False), SyncLog(is_quiet=True)
    outcome = await sync_named_agent(pool, store, agent_id, graphs=graphs, options=options, log=log)
    if outcome is None:
        return None
    if outcome.action is SyncAction.MISSING:
        return AgentChange(agent_id, RETIRED, store.retired_name)
    # a template that nobody has a copy of is not recorded
    return reported[-1] if reported else AgentChange(agent_id, outcome.action, outcome.name)


async def find_absent_agents(
    pool: CataloguePool,
    view: AgentSyncView,
    scope: AgentSyncScope,
    organizations: Sequence[UUID] | None,
    options: AgentSyncOptions = DEFAULT_OPTIONS,
) -> list[UUID]:
    """The agents that retire_absent_agents would retire, of `organizations`. Raises CatalogueUnavailable."""
    found = list[AgentChange]()
    await retire_absent_agents(
        pool, DryRunStore(view, options.source.origin, found.extend, organizations), scope, options
    )
    return [change.agent_id for change in found]


class _Assistants:
    """Assistants as they are.

    `create` and `update` note in `written`, by agent, the change that they would make.
    """

    def __init__(self, view: AgentSyncView) -> None:
        self._view = view
        self.written: dict[UUID, AgentChange] = {}

    async def get(self, assistant_id: str, owner_id: str) -> Mapping[str, Any] | None:
        found = (await self._view.assistants([UUID(assistant_id)])).get(UUID(assistant_id))
        return found if found is not None and found["owner_id"] in {SYSTEM_OWNER, owner_id} else None

    async def create(self, payload: Mapping[str, Any], owner_id: str) -> None:  # noqa: ARG002
        agent_id = UUID(payload["assistant_id"])
        if agent_id in await self._view.assistants([agent_id]):
            raise Conflict(f"Assistant {agent_id} already exists")
        self.written[agent_id] = AgentChange(
            agent_id, SyncAction.CREATED, payload["name"], after=catalogue_projection(payload)
        )

    async def update(self, assistant_id: str, payload: Mapping[str, Any], owner_id: str) -> None:
        existing = await self.get(assistant_id, owner_id)
        self.written[UUID(assistant_id)] = AgentChange(
            UUID(assistant_id),
            SyncAction.UPDATED,
            payload["name"],
            differing_fields(existing, payload),
            before=catalogue_projection(existing),
            after=catalogue_projection(payload),
        )


class DryRunStore(InertStore):
    """A `SyncStore` that reads from `view` and reports what it would write."""

    def __init__(
        self,
        view: AgentSyncView,
        source: AgentSource,
        report: Callable[[Sequence[AgentChange]], object],
        organizations: Sequence[UUID] | None = None,
    ) -> None:
        self.assistants = _Assistants(view)
        self._view = view
        self._source = source
        self._report = report
        self._organizations = organizations
        self.retired_name: str | None = None
        """The assistant that `retire` or `retire_shared` found in service."""

    async def record(self, outcomes: Sequence[SyncOutcome]) -> None:
        self._report([self._change(each) for each in outcomes if each.action is not SyncAction.MISSING])

    def _change(self, outcome: SyncOutcome) -> AgentChange:
        written = self.assistants.written.pop(
            outcome.agent_id, AgentChange(outcome.agent_id, outcome.action, outcome.name)
        )
        return replace(written, action=outcome.action, reason=outcome.failure)

    async def apply(self, page: Sequence[tuple[Mapping[str, Any], bytes]], owner_id: str) -> dict[UUID, AppliedAgent]:
        existing = await self._view.assistants([UUID(payload["assistant_id"]) for payload, _ in page])
        changes = list[AgentChange]()
        for number, (payload, _) in enumerate(page):
            if number % COMPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
            agent_id = UUID(payload["assistant_id"])
            found = existing.get(agent_id)
            if found is not None and found["owner_id"] not in {SYSTEM_OWNER, owner_id}:
                continue  # as a single agent it fails with the reason
            try:
                decision = decide(found, payload)
            except AgentRejected:
                continue
            changes.append(AgentChange(agent_id, decision.action, payload["name"], decision.fields))
        self._report(changes)
        return {change.agent_id: AppliedAgent(SyncAction(change.action), change.fields) for change in changes}

    async def copied_agents(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        return await self._view.copied_agents(after, limit)

    async def update_copies(self, payloads: Sequence[Mapping[str, Any]]) -> dict[UUID, SyncAction]:
        copies = defaultdict[UUID, list[Mapping[str, Any]]](list)
        for each in await self._view.copies([UUID(payload["assistant_id"]) for payload in payloads]):
            copies[each["template_id"]].append(each)
        actions = dict[UUID, SyncAction]()
        for payload in payloads:
            agent_id = UUID(payload["assistant_id"])
            if agent_id not in copies:
                continue
            fields = dict.fromkeys(name for copy in copies[agent_id] for name in differing_fields(copy, payload))
            actions[agent_id] = SyncAction.UPDATED if fields else SyncAction.SKIPPED
            self.assistants.written[agent_id] = AgentChange(agent_id, actions[agent_id], payload["name"], tuple(fields))
        return actions

    async def retire(self, agent_ids: Collection[UUID], read_at: datetime | None = None) -> int:  # noqa: ARG002
        return self._retire([*(await self._shared(agent_ids)), *await self._view.copies(list(agent_ids))])

    async def retire_shared(self, agent_ids: Collection[UUID]) -> int:
        return self._retire(await self._shared(agent_ids))

    async def retire_absent(
        self,
        after: UUID | None,
        last: UUID | None,
        present: Collection[UUID],
        before: datetime,  # noqa: ARG002
    ) -> int:
        return self._report_retired(await self._view.absent(after, last, present, self._organizations))

    async def retire_absent_copies(
        self,
        after: UUID | None,
        last: UUID | None,
        present: Collection[UUID],
        before: datetime,  # noqa: ARG002
    ) -> int:
        return self._report_retired(await self._view.absent_copies(after, last, present, self._organizations))

    async def _shared(self, agent_ids: Collection[UUID]) -> Collection[Mapping[str, Any]]:
        return [each for each in (await self._view.assistants(list(agent_ids))).values() if each["template_id"] is None]

    def _retire(self, assistants: Collection[Mapping[str, Any]]) -> int:
        """Note the name of an agent's assistant that is in service; returns the number of agents, 0 or 1."""
        names = [each["name"] for each in assistants if each["origin"] == self._source and each["retired_at"] is None]
        self.retired_name = names[0] if names else None
        return len(names[:1])

    def _report_retired(self, agents: Sequence[tuple[UUID, str]]) -> int:
        self._report([AgentChange(agent_id, RETIRED, name) for agent_id, name in agents])
        return len(agents)
