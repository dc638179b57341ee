"""Jobs of instances for tests of the sockets: every message is answered, or waits until the test lets it go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from robyn_server.core.access.principal import Principal
from robyn_server.core.registry.job_events import JobEvents
from robyn_server.core.registry.jobs import ContinuedJob, ExtendedJob, JobEnd, JobOutcome, JobRef, OpenedSlots


class FakeInstanceJobs:
    """`received`: (method, job_id) in the order in which messages reach the service.

    `blocked`: messages about this job wait for the event. `error` is raised for the next message.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.received: list[tuple[str, UUID]] = []
        self.blocked: dict[UUID, asyncio.Event] = {}
        self.error: Exception | None = None
        self.continued: list[ContinuedJob] = []
        self.opened: list[tuple[UUID, int, Sequence[UUID]]] = []

    async def open_slots(
        self,
        principal: Principal,
        organization_id: UUID,
        registration_id: UUID,
        epoch: int,
        slots: int,
        job_ids: Sequence[UUID],
        *,
        polls: bool,
    ) -> OpenedSlots:
        assert not polls
        self.opened.append((registration_id, slots, job_ids))
        return OpenedSlots("ok", [each for each in self.continued if each.job_id in job_ids], [], [])

    async def accept(self, principal: Principal, ref: JobRef) -> float:
        await self._receive("accept", ref)
        return 30.0

    async def reject(self, principal: Principal, ref: JobRef, reason: str | None) -> None:
        await self._receive("reject", ref)

    async def append_events(self, principal: Principal, message: JobEvents) -> int:
        await self._receive("events", message.ref)
        return message.last_seq

    async def extend(self, principal: Principal, refs: Sequence[JobRef]) -> list[ExtendedJob]:
        for ref in refs:
            await self._receive("extend", ref)
        return [ExtendedJob(ref.job_id, ref.attempt, JobOutcome.OK, is_cancelled=False) for ref in refs]

    async def finish(self, principal: Principal, ref: JobRef, end: JobEnd, through_seq: int) -> None:
        await self._receive("finish", ref)

    async def _receive(self, method: str, ref: JobRef) -> None:
        self.received.append((method, ref.job_id))
        error, self.error = self.error, None
        if error is not None:
            raise error
        if ref.job_id in self.blocked:
            await self.blocked[ref.job_id].wait()
