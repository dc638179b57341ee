"""The run queue in a real database, for tests of workers and of event readers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from databases import open_pools

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.ids import new_id
from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.runs.runs import NewRun, Runs

MINUTE = timedelta(minutes=1)
SUCCESS = RunEnd(RunStatus.SUCCESS, ThreadStatus.IDLE, b"{}")


class CountingQueue(RunQueue):
    """A queue that counts reads of events and the rows that they return."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.reads = 0
        self.read_rows = 0

    async def read_events(self, after: Mapping[UUID, int], limit: int) -> dict[UUID, list[RunEvent]]:
        self.reads += 1
        found = await super().read_events(after, limit)
        self.read_rows += sum(map(len, found.values()))
        return found


@dataclass(slots=True)
class RunQueueDatabase:
    """`admin`: a pool with the rights of the login."""

    url: str
    runs: Runs
    queue: CountingQueue
    admin: Pool

    async def enqueue(self, *, graph: str = "echo", given: Any = None, **changes: Any) -> UUID:
        """Enqueue a run on a new thread."""
        kwargs = {"input": given, "stream_mode": ["updates"], "config": {}, "durability": "sync"}
        fields: dict[str, Any] = {
            "run_id": new_id(),
            "thread_id": new_id(),
            "new_thread": "create",
            "keep_thread": True,
            "organization_id": None,
            "assistant_id": UUID(int=1),
            "assistant_version": 1,
            "graph_id": graph,
            "assistant_metadata": {},
            "metadata": {},
            "kwargs": kwargs,
            "thread_config": {},
            "multitask_strategy": "enqueue",
            "resumable": True,
            "after": timedelta(0),
            "max_attempts": 3,
        }
        new = NewRun(**fields | changes)
        assert (await self.runs.enqueue(LOCAL, new))[0] == "enqueued"
        return new.run_id

    async def claim_new_run(self, worker: UUID) -> ClaimedRun:
        await self.enqueue()
        (run,) = await self.queue.claim(worker, 1, MINUTE, ["echo"])
        return run

    async def get_run(self, run_id: UUID) -> Any:
        return await self.admin.fetchrow("select * from agenthall.runs where run_id = $1", run_id)

    async def is_ended(self, run_id: UUID) -> bool:
        return (await self.get_run(run_id))["status"] not in ("pending", "running")

    async def get_events(self, run_id: UUID) -> list[Any]:
        return list(
            await self.admin.fetch(
                "select seq, event, data from agenthall.run_events where run_id = $1 order by seq", run_id
            )
        )

    async def write_events(self, run: ClaimedRun, worker: UUID, *seqs: int, end: RunEnd | None = None) -> None:
        """Write events as a worker does, without a notification."""
        from robyn_server.storage.runs.queue import EndedRun

        events = [(run, RunEvent(seq, run.attempt, "custom", f'{{"n":{seq}}}')) for seq in seqs]
        ends = [] if end is None else [EndedRun(run, end, b'{"status":"success","values":null}')]
        assert await self.queue.flush(worker, events, ends) == (set(), False)


@contextlib.asynccontextmanager
async def open_run_queue_database(url: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_pools(url) as (app, system, admin):
        yield RunQueueDatabase(url, Runs(app), CountingQueue(system), admin)
