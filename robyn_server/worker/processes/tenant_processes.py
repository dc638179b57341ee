"""Processes that execute the runs of one tenant each, as children of a worker.

Rules
  1. A tenant is an organization, or the owner of a run without one. No process executes the runs of two.
  2. The worker claims runs in turn under an id of its own, and hands each over to the process of its tenant. It starts
     that if there is none.
  3. A process looks for runs that were handed to it, and ends when it had none for a while. A run that was handed over
     too late is released when the process has ended, and loses no attempt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun
from robyn_server.storage.postgres.notify import RUNS
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.worker.processes.run_processes import START_LEASE, RunProcess, RunProcesses, Spawn

_Tenant: TypeAlias = tuple[UUID | None, str]
"""An organization, or the owner of runs without one."""


class TenantProcesses(RunProcesses):
    """`slots`: runs that all processes of tenants execute at a time. `alone`: processes of single runs beside them."""

    def __init__(self, queue: RunQueue, graphs: Sequence[str], spawn: Spawn, *, slots: int, alone: int) -> None:
        super().__init__(queue, graphs, spawn, most=alone)
        self.every_run = True
        self._slots = slots

    async def _claim(self, worker_id: UUID) -> list[ClaimedRun]:
        return await self._queue.claim_alone(worker_id, START_LEASE, self._graphs)

    async def _fill(self) -> None:
        await super()._fill()
        processes = {tenant_of(each.run): each for each in self._running.values() if each.serves_tenant}
        held = await self._queue.count_held([each.worker_id for each in processes.values()])
        free = self._slots - held
        if free <= 0:
            return
        claimer = new_id()
        runs = await self._queue.claim(claimer, free, START_LEASE, self._graphs)
        for tenant, of_tenant in _by_tenant(runs).items():
            await self._hand_over(claimer, of_tenant, processes.get(tenant))

    async def _hand_over(self, claimer: UUID, runs: Sequence[ClaimedRun], process: RunProcess | None) -> None:
        worker_id = new_id() if process is None else process.worker_id
        await self._queue.hand_over(claimer, worker_id, [run.run_id for run in runs])
        if process is None:
            await self._begin(worker_id, runs[0], serves_tenant=True)
        elif self._notifier is not None:
            self._notifier.notify(RUNS)
        for run in runs if process is not None else runs[1:]:
            self._announce(run)


def tenant_of(run: ClaimedRun) -> _Tenant:
    return (run.organization_id, "") if run.organization_id is not None else (None, run.owner_id)


def _by_tenant(runs: Sequence[ClaimedRun]) -> dict[_Tenant, list[ClaimedRun]]:
    found = defaultdict[_Tenant, list[ClaimedRun]](list)
    for run in runs:
        found[tenant_of(run)].append(run)
    return found
