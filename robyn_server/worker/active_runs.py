"""The runs that a worker has: those in its slots, and those of agents elsewhere, which wait for instances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.runs import ClaimedRun
from robyn_server.graphs.execution import Stop, StopReason
from robyn_server.storage.runs.queue import RunLease


@dataclass(slots=True)
class ActiveRun:
    run: ClaimedRun
    stop: Stop = field(default_factory=Stop)
    task: asyncio.Task[None] | None = None
    is_ending: bool = False
    """Its end is on the way to the database. Only the answer to that says whether the lease was lost."""

    @property
    def lease(self) -> RunLease:
        return self.run.run_id, self.run.attempt

    @property
    def waits_for_instance(self) -> bool:
        """It runs elsewhere. Here it only waits, so it takes no slot."""
        return self.run.graph_id == INSTANCES_GRAPH

    def cancel(self, reason: StopReason | None) -> None:
        """Stop the run. With a reason the run ends with it, unless it ends already; without one nothing is recorded."""
        if self.is_ending and reason is not None:
            return
        if self.stop.reason is None and self.task is not None:
            self.stop.reason = reason
            self.task.cancel()

    def abandon(self) -> None:
        """Stop a run whose lease is lost, whatever its end would have been."""
        self.stop.reason = None
        self.cancel(None)


class Capacity(NamedTuple):
    """`slots`: runs that a worker executes. `instance_runs`: runs of agents elsewhere that it has beside them."""

    slots: int
    instance_runs: int


class ActiveRuns:
    def __init__(self) -> None:
        self._runs: dict[UUID, ActiveRun] = {}
        self._elsewhere = 0

    @property
    def used(self) -> Capacity:
        return Capacity(len(self._runs) - self._elsewhere, self._elsewhere)

    def free(self, limits: Capacity) -> Capacity:
        used = self.used
        return Capacity(max(0, limits.slots - used.slots), max(0, limits.instance_runs - used.instance_runs))

    def add(self, active: ActiveRun) -> None:
        """Raises ValueError when another attempt of the run is there."""
        if active.run.run_id in self._runs:
            raise ValueError(f"run {active.run.run_id} is active")
        self._runs[active.run.run_id] = active
        self._elsewhere += active.waits_for_instance

    def discard(self, active: ActiveRun) -> None:
        if self._runs.get(active.run.run_id) is active:
            del self._runs[active.run.run_id]
            self._elsewhere -= active.waits_for_instance

    def of_run(self, run_id: UUID) -> ActiveRun | None:
        return self._runs.get(run_id)

    def find(self, lease: RunLease) -> ActiveRun | None:
        active = self._runs.get(lease[0])
        return active if active is not None and active.lease == lease else None

    @property
    def leases(self) -> set[RunLease]:
        """May be read from another thread."""
        return {each.lease for each in list(self._runs.values())}

    @property
    def ending(self) -> set[RunLease]:
        return {each.lease for each in self._runs.values() if each.is_ending}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [each.task for each in self._runs.values() if each.task is not None]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[ActiveRun]:
        return iter(list(self._runs.values()))
