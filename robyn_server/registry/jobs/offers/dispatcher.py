"""Offer queued jobs again when an instance has left: its jobs wait for another one.

Functions that free a slot otherwise offer the next job themselves. The sweep once a second is the net.
"""

from __future__ import annotations

from uuid import UUID

from robyn_server.concurrency.periodic import Periodic
from robyn_server.registry.jobs.announcer import JobAnnouncer
from robyn_server.storage.registry.jobs.messages import JobMessages

_IDLE_SECONDS = 60.0


class JobDispatcher:
    """One statement is in flight. Instances of one type that leave meanwhile are dispatched for together."""

    def __init__(self, messages: JobMessages, announcer: JobAnnouncer) -> None:
        self._messages = messages
        self._announcer = announcer
        self._left: set[UUID] = set()
        self._loop = Periodic("job dispatcher", self._dispatch, _IDLE_SECONDS, retry=1.0)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    def dispatch_after(self, registration_id: UUID) -> None:
        """Offer the queued jobs of this instance's type."""
        self._left.add(registration_id)
        self._loop.wake()

    async def _dispatch(self) -> None:
        left, self._left = self._left, set()
        if left:
            dispatched = await self._messages.dispatch_of(list(left))
            self._announcer.offered(dispatched.offered)
            self._announcer.changed(dispatched.changed)
