"""Keeps the default assistants of graphs: one for each graph that is served, and none of other graphs in service.

Rules
  1. A process announces the graphs that it serves, for 30 s, and renews that every 10 s. When it stops it withdraws the
     announcement.
  2. A default assistant is retired when no process that lives, web or worker, serves its graph. So replicas with
     different graphs, as in a rolling deployment, do not retire each other's.
  3. The announcement also tells how many streams the process has open, for the overview of all replicas.
  4. A web process announces its graphs before it creates or restores their assistants.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import Unavailable
from robyn_server.metrics.definitions import STREAMS_OPEN
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.workers import ProcessKind, Workers

_INTERVAL = 10.0
_LIFETIME = timedelta(seconds=3 * _INTERVAL)
_STOP_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class ServedGraphs:
    """The announcement of a web process, and a background service.

    `graphs`: by id, with their descriptions. Call `check` once before other services start.
    """

    def __init__(
        self, workers: Workers, store: PostgresSyncStore, web_id: UUID, graphs: Mapping[str, str | None]
    ) -> None:
        self._workers = workers
        self._store = store
        self._web_id = web_id
        self._graph_ids = list(graphs)
        self._descriptions = {graph_id: text for graph_id, text in graphs.items() if text is not None}
        self._loop = Periodic("served graphs", self.check, _INTERVAL, retry=1.0, longest=_INTERVAL)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        with contextlib.suppress(Unavailable, TimeoutError):  # then the announcement lapses
            async with asyncio.timeout(_STOP_SECONDS):
                await self._workers.withdraw(self._web_id)

    async def check(self) -> None:
        await self._workers.announce(
            self._web_id, self._graph_ids, _LIFETIME, ProcessKind.WEB, open_streams=int(STREAMS_OPEN.own_value())
        )
        await self._store.ensure_default_assistants(self._graph_ids, self._descriptions)
        for graph_id in await self._store.retire_default_assistants():
            _log.info("default assistant retired: no process serves its graph", graph_id=graph_id)
