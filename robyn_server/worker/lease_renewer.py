"""Renews the leases of a worker's runs from a thread with a connection of its own.

A graph may hold the event loop for longer than a lease. The worker is alive nevertheless, so none of its runs may go to
another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.thread_loop import ThreadLoop
from robyn_server.storage.runs.queue import RunLease, RunQueue

OpenQueue: TypeAlias = Callable[[], AbstractAsyncContextManager[RunQueue]]
"""Opens the queue on the thread's loop."""

Held: TypeAlias = Callable[[], "set[RunLease] | None"]
"""The leases to renew; None: every run that the database gave to this worker. Called from the thread."""

OnRenewed: TypeAlias = Callable[[float, "set[RunLease]", "dict[RunLease, str | None]"], object]
"""Called on the main loop with the time of asking, the leases asked for, and those that are held, each with its cancel
action."""


class LeaseRenewer:
    """`renewed_at`: when the last renewal that succeeded was asked for, on the monotonic clock."""

    def __init__(
        self,
        thread: ThreadLoop,
        open_queue: OpenQueue,
        worker_id: UUID,
        lease: timedelta,
        held: Held,
        on_renewed: OnRenewed,
    ) -> None:
        self.renewed_at = time.monotonic()
        self._thread = thread
        self._open_queue = open_queue
        self._worker_id = worker_id
        self._lease = lease
        self._held = held
        self._on_renewed = on_renewed
        self._main: asyncio.AbstractEventLoop | None = None
        self._queue: RunQueue | None = None
        self._closing = AsyncExitStack()
        self._third = lease.total_seconds() / 3
        third = self._third
        self._renewals = Periodic("leases", self._renew, third, retry=third / 10, longest=third / 2)

    def start(self) -> None:
        self._main = asyncio.get_running_loop()
        self._thread.call(self._renewals.start)

    def wake(self) -> None:
        self._thread.call(self._renewals.wake)

    async def stop(self) -> None:
        await self._thread.run(self._renewals.stop())
        await self._thread.run(self._closing.aclose())

    async def release_stalled(self, charged: Sequence[UUID], error: dict[str, Any]) -> tuple[int, int]:
        """Release all runs of this worker. Only `charged` lose an attempt. Called on the thread's loop."""
        return await (await self._opened()).release_stalled(self._worker_id, charged, error)

    async def _opened(self) -> RunQueue:
        if self._queue is None:
            self._queue = await self._closing.enter_async_context(self._open_queue())
        return self._queue

    async def _renew(self) -> None:
        asked_at = time.monotonic()
        asked = self._held()
        ours: dict[RunLease, str | None] = {}
        async with asyncio.timeout(self._third):  # the connection may be half open
            # without a lease, too: the first cancellation would wait for the connection
            queue = await self._opened()
            if asked or asked is None:
                run_ids = await queue.list_held(self._worker_id) if asked is None else [run_id for run_id, _ in asked]
                ours = await queue.renew(self._worker_id, run_ids, self._lease)
        self.renewed_at = asked_at
        assert self._main is not None  # noqa: S101 - `start` has set it
        self._main.call_soon_threadsafe(self._on_renewed, asked_at, asked or set(), ours)
