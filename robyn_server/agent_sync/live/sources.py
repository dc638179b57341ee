"""Agents of several sources (AGENT_SYNC_SOURCES) as one: each source has passes, a feed and failures of its own.

Rules
  1. An agent is looked up in every source, in their order, until one has it. A source that is unavailable does not keep
     the others from being asked; the error is raised only when no other source has the agent.
  2. The server is ready when every source has been tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from robyn_server.agent_sync import CONFIGURATIONS_CHANNEL, AgentSyncOptions, name_of_source, options_of_configurations
from robyn_server.agent_sync.reports import CHANGES, SyncReport, SyncRequest
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.errors import CatalogueUnavailable, NotFound
from robyn_server.metrics.definitions import FEED_CONNECTED
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView
from robyn_server.storage.postgres.pools import Pool

from .listener import CHANNEL
from .operations import Operations
from .service import SyncRunner


class AgentSources:
    """An AgentLookup, and a background service. `runners`: at least one."""

    def __init__(self, runners: Mapping[AgentSource, SyncRunner]) -> None:
        self.runners = dict(runners)
        first = next(iter(self.runners.values()))
        self.ttl, self.stale = first.ttl, first.stale

    @property
    def templates(self) -> bool:
        return any(each.templates for each in self.runners.values())

    def start(self) -> None:
        for each in self.runners.values():
            each.start()
        FEED_CONNECTED.set_function(lambda: all(each.is_feed_connected for each in self.runners.values()))

    async def stop(self) -> None:
        for each in self.runners.values():
            await each.stop()

    async def sync(
        self,
        agent_id: UUID,
        organizations: frozenset[UUID] | None,
        identity: str | None = None,
        *,
        is_stale: bool = False,
    ) -> UUID | None:
        unavailable: CatalogueUnavailable | None = None
        for each in self.runners.values():
            try:
                found = await each.sync(agent_id, organizations, identity, is_stale=is_stale)
            except CatalogueUnavailable as error:
                unavailable = unavailable or error
                continue
            if found is not None:
                return found
        if unavailable is not None:
            raise unavailable
        return None

    @property
    def are_attempted(self) -> bool:
        return all(each.attempted.is_set() for each in self.runners.values())

    async def attempted(self) -> None:
        """Wait until every source has been tried once, well or badly."""
        for each in self.runners.values():
            await each.attempted.wait()

    def report(self) -> dict[str, Any]:
        """The readiness report: that of the first source, and of each further one under its name."""
        (_, first), *others = self.runners.items()
        return first.report() | {name_of_source(source): each.report() for source, each in others}


_SHOWN_OF_EACH = ("catalogue", "templates", "feed_connected", "feed", "last_pass", "contract")


class MultiSourceOperations:
    """`AgentSyncOperations` over those of each source: at least one, in the order in which agents are looked up."""

    def __init__(self, operations: Mapping[AgentSource, Operations]) -> None:
        self._operations = dict(operations)

    async def status(self, *, after: UUID | None, limit: int) -> dict[str, Any]:
        """The status of the first source, with a part of each under `sources`. Passes and failures are those of all."""
        of_each = {
            name_of_source(source): await each.status(after=after, limit=limit)
            for source, each in self._operations.items()
        }
        first = next(iter(of_each.values()))
        return first | {
            "sources": {name: {key: status[key] for key in _SHOWN_OF_EACH} for name, status in of_each.items()}
        }

    async def sync(self, request: SyncRequest) -> SyncReport:
        """Sync every source, also when another is unavailable, which is raised in the end.

        One agent is synced from the first that has it.
        """
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


@dataclass(frozen=True, slots=True)
class SourceConnection:
    """Where a source is read, and how. `dsn` is that of `pool`, past any pooler, for the feed on `channel`."""

    pool: Pool
    dsn: str
    options: AgentSyncOptions
    channel: str


def source_connections(
    sources: Sequence[AgentSource], options: AgentSyncOptions, catalogue: tuple[Pool, str], own: tuple[Pool, str]
) -> dict[AgentSource, SourceConnection]:
    """`options`: the catalogue's. `own`: the server's own database, as agenthall_system."""
    known = {
        AgentSource.CATALOGUE: SourceConnection(*catalogue, options, CHANNEL),
        AgentSource.CONFIGURATION: SourceConnection(*own, options_of_configurations(options), CONFIGURATIONS_CHANNEL),
    }
    return {source: known[source] for source in sources}


def agent_sources(
    at: Mapping[AgentSource, SourceConnection],
    system: Pool,
    graph_ids: Sequence[str],
    ttl: timedelta,
    *,
    every: float,
    stale: timedelta,
    poll: float,
) -> AgentSources:
    """Each source with its passes and feed.

    The first one's passes retire what is left of sources that are not served any more.
    """
    unserved = [source for source in AgentSource if source not in at]
    runners = dict[AgentSource, SyncRunner]()
    for source, connection in at.items():
        runners[source] = SyncRunner(
            connection.pool,
            PostgresSyncStore(system, source),
            graph_ids,
            connection.options,
            ttl,
            dsn=connection.dsn,
            every=every,
            stale=stale,
            poll=poll,
            channel=connection.channel,
            unserved=() if runners else unserved,
        )
    return AgentSources(runners)


def operations_of(
    sources: AgentSources, at: Mapping[AgentSource, SourceConnection], system: Pool, graph_ids: Sequence[str]
) -> MultiSourceOperations:
    """The operations of a running server, which see its own passes and feed."""
    return MultiSourceOperations({source: _operations(sources, source, at[source], system, graph_ids) for source in at})


def _operations(
    sources: AgentSources, source: AgentSource, connection: SourceConnection, system: Pool, graph_ids: Sequence[str]
) -> Operations:
    runner = sources.runners[source]
    return Operations(
        connection.pool,
        PostgresSyncStore(system, source),
        AgentSyncView(system, source),
        graph_ids,
        connection.options,
        passes=runner.passes,
        misses=runner.misses,
        is_feed_connected=lambda: runner.is_feed_connected,
        feed=runner.feed_report,
    )
