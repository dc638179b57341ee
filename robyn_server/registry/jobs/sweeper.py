"""Apply what is due for jobs once a second, and delete old jobs once a minute.

Any process may sweep; the database lets one sweep at a time.
"""

from __future__ import annotations

from robyn_server.concurrency.periodic import Periodic
from robyn_server.core.registry.jobs import SweptJobs
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import JOBS, OFFERS

from .starter import JobStarter

SWEEP_SECONDS = 1.0
_ORPHAN_SECONDS = 10.0
_DELETE_SECONDS = 60.0
_LONGEST_BACKOFF = 5.0


class JobSweeper:
    def __init__(self, jobs: AssignedJobs, starter: JobStarter, notifier: Notifier) -> None:
        self._jobs = jobs
        self._starter = starter
        self._notifier = notifier
        self._loops = (
            Periodic("job sweeper", self.sweep, SWEEP_SECONDS, longest=_LONGEST_BACKOFF),
            Periodic("jobs without a run", self.cancel_orphans, _ORPHAN_SECONDS),
            Periodic("old jobs", jobs.delete_ended, _DELETE_SECONDS),
        )

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            await loop.stop()

    async def sweep(self) -> SweptJobs:
        """Sweep once, and notify those who wait. Raises Unavailable."""
        swept = await self._jobs.sweep()
        self._notifier.notify(JOBS, map(str, swept.changed))
        self._notifier.notify(OFFERS, map(str, {*swept.told, *swept.offered}))
        return swept

    async def cancel_orphans(self) -> None:
        """Cancel jobs whose run is over: their worker died before it could. Raises Unavailable."""
        await self._starter.cancel_all(await self._jobs.list_orphans(), "the run is over")
