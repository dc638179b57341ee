"""Extend the leases of running jobs, of many instances in one statement."""

from __future__ import annotations

from collections.abc import Sequence

from robyn_server.concurrency.batcher import Batcher
from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.jobs import ExtendedJob, JobRef
from robyn_server.storage.registry.jobs.messages import JobMessages

BATCH_SECONDS = 0.025
MAX_BATCH = 500
"""Instances. Each may name all of its jobs."""


class LeaseExtender:
    def __init__(self, messages: JobMessages) -> None:
        self._messages = messages
        self._batcher: Batcher[Sequence[JobRef], list[ExtendedJob]] = Batcher(
            "job leases",
            self._extend,
            seconds=BATCH_SECONDS,
            max_size=MAX_BATCH,
            closed=lambda: Unavailable("This process does not extend leases now. Try again."),
        )

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()

    async def extend(self, refs: Sequence[JobRef]) -> list[ExtendedJob]:
        """Extend the leases of these jobs, and return one result for each, in their order. Raises Unavailable."""
        return await self._batcher.submit(refs) if refs else []

    async def _extend(self, requests: Sequence[Sequence[JobRef]]) -> list[list[ExtendedJob]]:
        refs = list(dict.fromkeys(ref for request in requests for ref in request))
        found = await self._messages.extend(refs)
        return [[found[ref] for ref in request] for request in requests]
