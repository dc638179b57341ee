"""The base of the tables of agent sync: one pool, one source of agents."""

from __future__ import annotations

from typing import Any

from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.storage.postgres.pools import Pool, transaction
from robyn_server.storage.postgres.queries import Bound


class SourceStorage:
    """`pool` works as agenthall_system.

    Agents of other sources are out of reach. Raises Unavailable when the database is away.
    """

    def __init__(self, pool: Pool, source: AgentSource = AgentSource.CATALOGUE) -> None:
        self.source = source
        self._pool = pool

    async def _fetch_replanned(self, *bound: Bound) -> list[Any]:
        """Plan the statements for these arguments, run them in one transaction and return the rows of the last.

        A page may name one row or ten thousand.

        A generic plan that was made when the tables were empty took 8 s for a page of 5,000.
        """
        async with transaction(self._pool) as connection:
            await connection.execute("set local plan_cache_mode = force_custom_plan")
            return [await connection.fetch(*each) for each in bound][-1]
