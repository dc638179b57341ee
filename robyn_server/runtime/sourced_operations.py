"""Operating agents of several sources at once: `AgentSyncOperations` of services over those of each source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from robyn_server.agent_sync import name_of_source
from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import CatalogueUnavailable, NotFound
from robyn_server.services.agent_sync import CHANGES, SyncReport, SyncRequest

from .agent_sync_operations import Operations

_OF_A_SOURCE = ("catalogue", "templates", "feed_connected", "feed", "last_pass", "contract")


class SourcedOperations:
    """`operations`: at least one, in the order in which agents are asked for."""

    def __init__(self, operations: Mapping[AgentSource, Operations]) -> None:
        self._operations = dict(operations)

    async def status(self, *, after: UUID | None, limit: int) -> dict[str, Any]:
        """That of the first source; `sources` has what each says of itself. Passes and failures are those of all."""
        of_each = {
            name_of_source(source): await each.status(after=after, limit=limit)
            for source, each in self._operations.items()
        }
        first = next(iter(of_each.values()))
        return first | {
            "sources": {name: {key: status[key] for key in _OF_A_SOURCE} for name, status in of_each.items()}
        }

    async def sync(self, request: SyncRequest) -> SyncReport:
        """Every source is synced, also when another cannot be asked; then that is raised. One agent is the first's that has it."""
        if request.agent_id is not None:
            return await self._agent(request)
        reports, unavailable = dict[str, SyncReport](), list[CatalogueUnavailable]()
        for source, each in self._operations.items():
            try:
                reports[name_of_source(source)] = await each.sync(request)
            except CatalogueUnavailable as error:
                unavailable.append(error)
        if unavailable:
            raise unavailable[0]
        return _merged(reports)

    async def _agent(self, request: SyncRequest) -> SyncReport:
        failures = list[CatalogueUnavailable | NotFound]()
        for source, each in self._operations.items():
            try:
                return _merged({name_of_source(source): await each.sync(request)})
            except (CatalogueUnavailable, NotFound) as error:
                failures.append(error)
        raise next((each for each in failures if isinstance(each, CatalogueUnavailable)), failures[0])


def _merged(reports: Mapping[str, SyncReport]) -> SyncReport:
    first = next(iter(reports.values()))
    counters, changes = Counter[str](), []
    for report in reports.values():
        counters.update(report.counters)
        changes += report.changes
    more = sum(report.more for report in reports.values()) + len(changes[CHANGES:])
    return replace(
        first,
        seconds=sum(report.seconds for report in reports.values()),
        counters=dict(counters),
        changes=changes[:CHANGES],
        more=more,
        by_source={name: report.counters for name, report in reports.items()},
    )
