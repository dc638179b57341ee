"""Announce the graphs that this worker serves, so that a run that no worker can take says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.errors import Unavailable
from robyn_server.storage.workers import Workers

_INTERVAL = 10.0
_LIFETIME = timedelta(seconds=3 * _INTERVAL)
_STOP_SECONDS = 2.0


class Announcement:
    def __init__(self, workers: Workers, worker_id: UUID, graph_ids: Sequence[str]) -> None:
        self._workers = workers
        self._worker_id = worker_id
        self._graph_ids = graph_ids
        self._loop = Periodic("worker announcement", self._announce, _INTERVAL, retry=1.0, longest=_INTERVAL)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        with contextlib.suppress(Unavailable, TimeoutError):  # then the announcement lapses
            async with asyncio.timeout(_STOP_SECONDS):
                await self._workers.withdraw(self._worker_id)

    async def _announce(self) -> None:
        await self._workers.announce(self._worker_id, self._graph_ids, _LIFETIME)
