"""Log the graphs that runs wait for and no worker serves: once when a graph becomes one, and once when it is served
again."""

from __future__ import annotations

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.storage.workers import Workers

_INTERVAL = 10.0
_log = structlog.get_logger(__name__)


class UnservedGraphs:
    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._known: frozenset[str] = frozenset()
        self._loop = Periodic("unserved graphs", self.check, _INTERVAL)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def check(self) -> None:
        unserved = await self._workers.unserved()
        for graph in unserved:
            if graph.graph_id not in self._known:
                _log.warning(
                    "runs wait for a graph that no running worker serves",
                    graph_id=graph.graph_id,
                    runs=graph.runs,
                    seconds=round(graph.longest_wait),
                    remedy="name the graph in AGENTHALL_GRAPHS of a worker, or cancel the runs",
                )
        found = frozenset(graph.graph_id for graph in unserved)
        for graph_id in sorted(self._known - found):
            _log.info("no run waits for an unserved graph any more", graph_id=graph_id)
        self._known = found
