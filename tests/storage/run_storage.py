"""Runs, threads and the queue in a real database, and the invariants of their tables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from databases import open_pools

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.core.queue.limits import RunningLimits
from robyn_server.core.runs import END, ClaimedRun, RunEnd, RunEvent, RunStatus, ThreadStatus
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.runs.queue import EndedRun, RunQueue
from robyn_server.storage.runs.runs import NewRun, Runs
from robyn_server.storage.threads import Threads

LEASE = timedelta(seconds=60)
GRAPH = "echo"
SUCCESS = RunEnd(RunStatus.SUCCESS, ThreadStatus.IDLE, b'{"text":"done"}')


def new_run(thread_id: UUID, *, run_id: UUID | None = None, **changes: Any) -> NewRun:
    """A run that creates its thread if needed. `changes`: fields of NewRun."""
    given: dict[str, Any] = {
        "run_id": run_id or new_id(),
        "thread_id": thread_id,
        "new_thread": "create",
        "keep_thread": True,
        "organization_id": None,
        "assistant_id": UUID(int=1),
        "assistant_version": 1,
        "graph_id": GRAPH,
        "assistant_metadata": {},
        "metadata": {},
        "kwargs": {"input": {"text": "hello"}, "config": {"configurable": {"known": "yes"}}},
        "thread_config": {},
        "multitask_strategy": "enqueue",
        "resumable": True,
        "after": timedelta(0),
        "max_attempts": 3,
    }
    return NewRun(**given | changes)


def ended_run(run: ClaimedRun, end: RunEnd = SUCCESS) -> EndedRun:
    return EndedRun(run, end, b'{"status":"%s","values":null}' % end.status.encode())


def custom_event(run: ClaimedRun, seq: int, data: str = '{"n":1}') -> tuple[ClaimedRun, RunEvent]:
    return run, RunEvent(seq, run.attempt, "custom", data)


@dataclass(slots=True)
class RunStorage:
    """Storage with the roles of the server. `admin`: a pool with the rights of the login."""

    url: str
    app: Pool
    system: Pool
    admin: Pool

    @property
    def runs(self) -> Runs:
        return Runs(self.app)

    @property
    def threads(self) -> Threads:
        return Threads(self.app)

    @property
    def assistants(self) -> Assistants:
        return Assistants(self.app)

    @property
    def queue(self) -> RunQueue:
        return RunQueue(self.system)

    def queue_with(self, **limits: Any) -> RunQueue:
        """`limits`: fields of RunningLimits."""
        return RunQueue(self.system, RunningLimits(**limits))

    async def enqueue(self, thread_id: UUID, principal: Principal = LOCAL, **changes: Any) -> UUID:
        new = new_run(thread_id, **changes)
        outcome, _ = await self.runs.enqueue(principal, new)
        assert outcome == "enqueued"
        return new.run_id

    async def claim(self, worker: UUID, slots: int = 100) -> list[ClaimedRun]:
        return await self.queue.claim(worker, slots, LEASE, [GRAPH])

    async def claim_new_run(self, worker: UUID, **changes: Any) -> ClaimedRun:
        """Enqueue a run on a new thread and claim it for `worker`."""
        await self.enqueue(new_id(), **changes)
        (run,) = await self.claim(worker)
        return run

    async def expire_leases(self, *run_ids: UUID) -> None:
        await self.admin.execute(
            "update agenthall.runs set lease_until = now() - interval '1 second' where run_id = any ($1)", list(run_ids)
        )

    async def get_run(self, run_id: UUID) -> Any:
        return await self.admin.fetchrow("select * from agenthall.runs where run_id = $1", run_id)

    async def get_thread(self, thread_id: UUID) -> Any:
        return await self.admin.fetchrow("select * from agenthall.threads where thread_id = $1", thread_id)

    async def get_events(self, run_id: UUID) -> list[tuple[int, str]]:
        rows = await self.admin.fetch(
            "select seq, event from agenthall.run_events where run_id = $1 order by seq", run_id
        )
        return [(row["seq"], row["event"]) for row in rows]

    async def fetch_value(self, query: str, *arguments: Any) -> Any:
        return await self.admin.fetchval(query, *arguments)

    async def check_invariants(self) -> None:
        """Check what must hold at every moment."""
        assert await self.fetch_value(_TWO_READY) == [], "two runs of a thread are ready"
        assert await self.fetch_value(_EVENT_GAPS) == [], "a run's events have a gap"
        assert await self.fetch_value(_WRONG_ENDS) == [], "a run has not exactly one end event after its end"
        assert await self.fetch_value(_WRONG_STATUSES) == [], "a thread is idle with open runs, or busy without"
        assert await self.fetch_value(_BLOCKED_THREADS) == [], "a thread has open runs, but none is ready"


_TWO_READY = """
select coalesce(array_agg(thread_id), '{}') from (
  select thread_id from agenthall.runs where ready group by thread_id having count(*) > 1) x"""
_EVENT_GAPS = """
select coalesce(array_agg(run_id), '{}') from (
  select run_id from agenthall.run_events group by run_id having max(seq) <> count(*) or min(seq) <> 1) x"""
_WRONG_ENDS = f"""
select coalesce(array_agg(run_id), '{{}}') from (
  select coalesce(r.run_id, e.run_id) as run_id from agenthall.runs r
    full join (select run_id, count(*) filter (where event = '{END}') as ends from agenthall.run_events group by run_id) e
      on e.run_id = r.run_id
   where coalesce(e.ends, 0) <> case when r.status in ('pending', 'running') then 0 else 1 end) x"""
_WRONG_STATUSES = """
select coalesce(array_agg(thread_id), '{}') from agenthall.threads t
 where (t.status = 'busy') <> exists (
   select from agenthall.runs r where r.thread_id = t.thread_id and r.status in ('pending', 'running'))"""
_BLOCKED_THREADS = """
select coalesce(array_agg(thread_id), '{}') from (
  select thread_id from agenthall.runs where status in ('pending', 'running') group by thread_id having not bool_or(ready)) x"""


@contextlib.asynccontextmanager
async def open_run_storage(url: str, *, size: int = 8) -> AsyncIterator[RunStorage]:
    async with open_pools(url, size=size) as (app, system, admin):
        yield RunStorage(url, app, system, admin)


async def deadlocks(url: str) -> int:
    """Count the deadlocks of this database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("select pg_stat_force_next_flush()")
        return int(
            await connection.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
        )
    finally:
        await connection.close()
