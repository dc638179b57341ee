"""Finds the runs of threads as they begin, for clients that follow a thread.

One query looks for the runs of all threads that clients of this process follow. It runs for some threads when a
notification names them, and for all every two seconds, since a notification may be lost. There an idle client costs two
index lookups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.concurrency.subscriptions import Subscriptions
from robyn_server.storage.postgres.notify import ids_in
from robyn_server.storage.runs.queue import BegunRun, RunQueue

_POLL_SECONDS = 2.0
_LONGEST_BACKOFF = 5.0
_BATCH = 100
_REMEMBERED = 1_000
"""Runs that a subscription remembers, so that it gets an active run once."""


class ThreadSubscription:
    """One client's position in the runs of one thread. `after`: the newest run that it has got."""

    def __init__(self, thread_id: UUID, after: UUID, known: Sequence[UUID]) -> None:
        self.thread_id = thread_id
        self.after = after
        self._known = deque(known, maxlen=_REMEMBERED)
        self._waiting: deque[BegunRun] = deque()
        self._arrived = asyncio.Event()
        self._is_gone = False

    def add(self, runs: Sequence[BegunRun] | None) -> None:
        """Buffer runs that have begun. None: the thread was deleted."""
        if runs is None:
            self._is_gone = True
            self._arrived.set()
        for run in runs or ():
            if run.run_id not in self._known and (run.is_active or run.run_id > self.after):
                self._known.append(run.run_id)
                self._waiting.append(run)
                self.after = max(self.after, run.run_id)
                self._arrived.set()

    async def next_run(self) -> BegunRun | None:
        """Wait for the next run. Return None when the thread was deleted."""
        while not self._waiting:
            if self._is_gone:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()


class ThreadRunFinder:
    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._finder = Periodic("thread runs", self._find, _POLL_SECONDS, longest=_LONGEST_BACKOFF)
        self._subscriptions = Subscriptions[ThreadSubscription](self._finder.wake, _POLL_SECONDS)
        self.wake_all = self._subscriptions.wake_all

    def start(self) -> None:
        self._finder.start()

    async def stop(self) -> None:
        await self._finder.stop()

    def wake(self, payload: str) -> None:
        """Handle a notification; `payload` is a comma-separated list of thread ids."""
        self._subscriptions.wake_ids(ids_in(payload))

    @contextmanager
    def subscribe(self, thread_id: UUID, after: UUID, known: Sequence[UUID] = ()) -> Iterator[ThreadSubscription]:
        """Subscribe to the runs of a thread that are newer than `after`, or active. Runs in `known` are left out."""
        with self._subscriptions.holding(thread_id, ThreadSubscription(thread_id, after, known)) as subscription:
            yield subscription

    async def _find(self) -> None:
        positions = {each: min(sub.after for sub in self._subscriptions.of(each)) for each in self._subscriptions.due()}
        if not positions:
            return
        for thread_id, runs in (await self._queue.list_following(positions, _BATCH)).items():
            for subscription in self._subscriptions.of(thread_id):
                subscription.add(runs)
            if runs is not None and len(runs) >= _BATCH:
                self._subscriptions.wake_id(thread_id)
