"""Agents of several sources (AGENT_SYNC_SOURCES) behind one gate: each source has passes, a feed and failures of its own.

Rules
  1. An agent is asked for in every source, in their order, until one has it. A source that cannot be asked keeps no other from
     being asked; that it could not be asked is said only when no other has the agent.
  2. Ready is who has tried them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from robyn_server.agent_sync import CONFIGURATIONS_CHANNEL, AgentSyncOptions, name_of_source, options_of_configurations
from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import CatalogueUnavailable
from robyn_server.metrics.definitions import FEED_CONNECTED
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.database import Pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

from .agent_sync_operations import Operations
from .catalogue import Catalogue
from .catalogue_feed import CHANNEL
from .sourced_operations import SourcedOperations


class AgentSources:
    """A CatalogueGate, and a background service. `catalogues`: at least one."""

    def __init__(self, catalogues: Mapping[AgentSource, Catalogue]) -> None:
        self.catalogues = dict(catalogues)
        first = next(iter(self.catalogues.values()))
        self.ttl, self.stale = first.ttl, first.stale

    @property
    def templates(self) -> bool:
        return any(each.templates for each in self.catalogues.values())

    def start(self) -> None:
        for each in self.catalogues.values():
            each.start()
        FEED_CONNECTED.follow(lambda: all(each.is_feed_connected for each in self.catalogues.values()))

    async def stop(self) -> None:
        for each in self.catalogues.values():
            await each.stop()

    async def sync(
        self, agent_id: UUID, organizations: frozenset[UUID] | None, identity: str | None = None
    ) -> UUID | None:
        unavailable: CatalogueUnavailable | None = None
        for each in self.catalogues.values():
            try:
                found = await each.sync(agent_id, organizations, identity)
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
        return all(each.attempted.is_set() for each in self.catalogues.values())

    async def attempted(self) -> None:
        """Returns when every source has been tried once, well or badly."""
        for each in self.catalogues.values():
            await each.attempted.wait()

    def report(self) -> dict[str, Any]:
        """What readiness says: of the first source, and of each further one under its name."""
        (_, first), *others = self.catalogues.items()
        return first.report() | {name_of_source(source): each.report() for source, each in others}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source is read, and how: `dsn` is that of `pool`, past any pooler, for the feed on `channel`."""

    pool: Pool
    dsn: str
    options: AgentSyncOptions
    channel: str


def places(
    sources: Sequence[AgentSource], options: AgentSyncOptions, catalogue: tuple[Pool, str], own: tuple[Pool, str]
) -> dict[AgentSource, Place]:
    """Of each of `sources`. `options`: the catalogue's. `own`: the server's own database, as agenthall_system."""
    known = {
        AgentSource.CATALOGUE: Place(*catalogue, options, CHANNEL),
        AgentSource.CONFIGURATION: Place(*own, options_of_configurations(options), CONFIGURATIONS_CHANNEL),
    }
    return {source: known[source] for source in sources}


def agent_sources(
    at: Mapping[AgentSource, Place],
    system: Pool,
    graph_ids: Sequence[str],
    ttl: timedelta,
    *,
    every: float,
    stale: timedelta,
    poll: float,
) -> AgentSources:
    """Each source with its passes and feed; the first one's passes retire what is left of sources that are not served any more."""
    unserved = [source for source in AgentSource if source not in at]
    made = dict[AgentSource, Catalogue]()
    for source, place in at.items():
        made[source] = Catalogue(
            place.pool,
            PostgresAssistantStorage(system, source),
            graph_ids,
            place.options,
            ttl,
            dsn=place.dsn,
            every=every,
            stale=stale,
            poll=poll,
            channel=place.channel,
            unserved=() if made else unserved,
        )
    return AgentSources(made)


def operations_of(
    sources: AgentSources, at: Mapping[AgentSource, Place], system: Pool, graph_ids: Sequence[str]
) -> SourcedOperations:
    """Those of a running server: they see what its own passes came to."""
    return SourcedOperations({source: _operations(sources, source, at[source], system, graph_ids) for source in at})


def _operations(
    sources: AgentSources, source: AgentSource, place: Place, system: Pool, graph_ids: Sequence[str]
) -> Operations:
    catalogue = sources.catalogues[source]
    return Operations(
        place.pool,
        PostgresAssistantStorage(system, source),
        AgentSyncView(system, source),
        graph_ids,
        place.options,
        passes=catalogue.passes,
        misses=catalogue.misses,
        is_feed_connected=lambda: catalogue.is_feed_connected,
        feed=catalogue.feed_report,
    )
