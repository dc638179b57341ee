"""Workers and web processes that run, and the graphs that they serve. Works as agenthall_system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from robyn_server import __version__

from .postgres.errors import translated
from .postgres.pools import Pool
from .postgres.queries import load

_SQL = load("workers")


class ProcessKind(StrEnum):
    """`WORKER` executes the runs of the graphs that it serves. `WEB` answers for their assistants."""

    WORKER = "worker"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class UnservedGraph:
    """A graph that no worker serves, and the runs that wait for it. `longest_wait` is in seconds."""

    graph_id: str
    runs: int
    longest_wait: float


class Workers:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def announce(
        self,
        worker_id: UUID,
        graph_ids: Sequence[str],
        lifetime: timedelta,
        kind: ProcessKind = ProcessKind.WORKER,
        open_streams: int = 0,
    ) -> None:
        """Record that a process runs and serves these graphs, for `lifetime`."""
        async with translated():
            query = _SQL["announce"].bind(
                worker_id=worker_id,
                graph_ids=list(graph_ids),
                lifetime=lifetime,
                kind=kind.value,
                version=__version__,
                open_streams=open_streams,
            )
            await self._pool.execute(*query)

    async def withdraw(self, worker_id: UUID) -> None:
        async with translated():
            await self._pool.execute(*_SQL["withdraw"].bind(worker_id=worker_id))

    async def unserved(self) -> list[UnservedGraph]:
        """Graphs that no worker serves and that runs wait for."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["unserved"].bind())
        return [UnservedGraph(row["graph_id"], row["runs"], row["longest_wait"]) for row in rows]
