"""Tell instances of jobs that they have lost, once a second.

An instance that does not extend its jobs would learn of it only with its next message.
"""

from __future__ import annotations

from robyn_server.concurrency.periodic import Periodic
from robyn_server.storage.registry.jobs.messages import JobMessages

from .sessions.job_desk import JobDesk

_SECONDS = 1.0
_LONGEST_BACKOFF = 5.0
_PAGE = 1000


class JobLosses:
    def __init__(self, messages: JobMessages, desk: JobDesk) -> None:
        self._messages = messages
        self._desk = desk
        self._loop = Periodic("job losses", self.find, _SECONDS, longest=_LONGEST_BACKOFF)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def find(self) -> None:
        """Compare the jobs that run here with the database. Raises Unavailable."""
        running = self._desk.list_running()
        for first in range(0, len(running), _PAGE):
            refs = running[first : first + _PAGE]
            lost = await self._messages.find_lost(refs)
            for ref in refs:
                if (ref.job_id, ref.attempt) in lost:
                    self._desk.lose(ref, lost[ref.job_id, ref.attempt])
