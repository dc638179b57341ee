"""`SyncStore` on PostgreSQL: everything that agent sync writes in the server's own database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.ids import default_assistant_id
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

from .assistants import SyncedAssistants
from .bulk import BulkWrites
from .ledger import Ledger
from .passes import AgentSyncPasses
from .read_versions import ReadVersions
from .retirement import Retirement
from .template_copies import TemplateCopies

_SQL = load("agent_sync/sync_store")
_log = structlog.get_logger(__name__)


class PostgresSyncStore(BulkWrites, Ledger, ReadVersions, Retirement, TemplateCopies):
    """The store of one source of agents. It neither changes nor retires what came from another source."""

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        super().__init__(pool, source)
        self.assistants = SyncedAssistants(pool, source)
        self.passes = AgentSyncPasses(pool)

    def of(self, source: AgentSource) -> PostgresSyncStore:
        """The store of another source, in the same database."""
        return PostgresSyncStore(self._pool, source)

    async def ensure_default_assistants(
        self, graph_ids: list[str], descriptions: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Create one assistant for each graph, with an id that follows from the graph's name, or restore it.

        `descriptions`: by graph, for assistants that have none. Changes by administrators stay. An id that another
        assistant has is an error in the log.
        """
        async with translated():
            rows = await self._pool.fetch(
                *_SQL["ensure_default_assistants"].bind(
                    assistant_ids=[default_assistant_id(graph_id) for graph_id in graph_ids],
                    graph_ids=graph_ids,
                    descriptions=[descriptions.get(graph_id) for graph_id in graph_ids],
                )
            )
        for row in rows:
            graph_id = row["graph_id"]
            _log.error(
                "another assistant has the id of a default assistant",
                graph_id=graph_id,
                assistant_id=str(default_assistant_id(graph_id)),
            )

    async def retire_default_assistants(self) -> list[str]:
        """Retire the default assistants whose graph no living process serves, and return these graphs.

        The caller has announced the graphs that it serves (`Workers.announce`).
        """
        async with translated():
            rows = await self._pool.fetch(*_SQL["retire_default_assistants"].bind())
        return sorted(row["graph_id"] for row in rows)
