"""Runs: as a principal asks for them, and as the queue that workers take them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from robyn_server.core.principal import Principal
from robyn_server.core.runs import ClaimedRun, RunEnd, RunEvent

from .database import Pool, acting
from .errors import translated
from .json import dump_json, to_json, without_nul
from .queries import load

FIELDS = (
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
    "langsmith_session_name",
)
ONLY_END = 2**31 - 1
"""A place after every event: whoever reads on from there is given the run's end, and nothing else."""

_SQL = load("runs")


Held: TypeAlias = tuple[UUID, int]
"""A run in one of its attempts: what a worker holds, and may lose."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """`new_thread`: reject (it must exist), create, or ephemeral (made for this run, gone with it unless `keep_thread`)."""

    run_id: UUID
    thread_id: UUID
    new_thread: str
    keep_thread: bool
    organization_id: UUID | None
    assistant_id: UUID
    assistant_version: int
    graph_id: str
    assistant_metadata: dict[str, Any]
    metadata: dict[str, Any]
    kwargs: dict[str, Any]
    thread_config: dict[str, Any]
    multitask_strategy: str
    resumable: bool
    after: timedelta
    max_attempts: int


@dataclass(frozen=True, slots=True)
class FoundRun:
    run_id: UUID
    thread_id: UUID
    status: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class QueueState:
    """Numbers of runs; waits are in seconds since a run was due, None where none waits."""

    pending: int
    running: int
    longest_wait: float | None
    median_wait: float | None
    longest_unblocked_wait: float | None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run's end on its way to the database."""

    run: ClaimedRun
    end: RunEnd
    result: bytes


class Runs:
    """Runs as a principal sees them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def enqueue(self, principal: Principal, new: NewRun) -> tuple[str, str | None]:
        """The outcome (`enqueued`, `busy`, `thread_missing`) and, when enqueued, the run as JSON text."""
        async with translated():
            row = await self._pool.fetchrow(
                _SQL["enqueue"],
                *acting(principal),
                new.run_id,
                new.thread_id,
                new.new_thread,
                new.keep_thread,
                new.organization_id,
                new.assistant_id,
                new.assistant_version,
                new.graph_id,
                to_json(new.assistant_metadata),
                to_json(new.metadata),
                to_json(new.kwargs),
                to_json(new.thread_config),
                new.multitask_strategy,
                new.resumable,
                new.after,
                new.max_attempts,
            )
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["outcome"], row["body"]

    async def find(self, principal: Principal, thread_id: UUID, run_id: UUID) -> str | None:
        async with translated():
            body: str | None = await self._pool.fetchval(_SQL["get"], *acting(principal), thread_id, run_id)
        return body

    async def find_to_follow(self, principal: Principal, thread_id: UUID | None, run_id: UUID) -> FoundRun | None:
        async with translated():
            row = await self._pool.fetchrow(_SQL["find"], *acting(principal), thread_id, run_id)
        return None if row is None else FoundRun(row["run_id"], row["thread_id"], row["status"], row["resumable"])

    async def list(
        self,
        principal: Principal,
        thread_id: UUID,
        *,
        status: str | None,
        limit: int,
        offset: int,
        select: Sequence[str] | None,
    ) -> str:
        """The thread's runs, newest first, as a JSON array."""
        async with translated():
            body: str | None = await self._pool.fetchval(
                _SQL["list"], *acting(principal), thread_id, status, limit, offset, select
            )
        return body or "[]"

    async def cancel(self, principal: Principal, thread_id: UUID, run_id: UUID, action: str) -> str:
        """What the run was: `missing`, `pending`, `running` (its worker is told) or `ended`."""
        async with translated():
            found: str = await self._pool.fetchval(_SQL["cancel"], *acting(principal), thread_id, run_id, action)
        return found


class RunQueue:
    """Runs as the server's own processes handle them; works as agenthall_system."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, worker_id: UUID, slots: int, lease: timedelta, graphs: Sequence[str]) -> list[ClaimedRun]:
        async with translated():
            rows = await self._pool.fetch(_SQL["claim"], worker_id, slots, lease, graphs)
        return [_claimed(row) for row in rows]

    async def flush(
        self, worker_id: UUID, events: Sequence[tuple[ClaimedRun, RunEvent]], ends: Sequence[EndedRun]
    ) -> tuple[set[Held], bool]:
        """Writes events and ends in one transaction. Returns what this worker does not hold any more (nothing was
        written for it) and whether another run became claimable."""
        async with translated():
            row = await self._pool.fetchrow(
                _SQL["flush"],
                worker_id,
                [run.run_id for run, _ in events],
                [run.attempt for run, _ in events],
                [event.seq for _, event in events],
                [event.event for _, event in events],
                [event.data for _, event in events],
                _ends_json(ends),
            )
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return set(zip(row["lost"], row["lost_attempts"], strict=True)), row["woke"]

    async def renew(self, worker_id: UUID, run_ids: Sequence[UUID], lease: timedelta) -> dict[Held, str | None]:
        """Renews the leases; returns what is still held with the cancel action asked for, if any."""
        async with translated():
            rows = await self._pool.fetch(_SQL["renew"], worker_id, run_ids, lease)
        return {(row["run_id"], row["attempt"]): row["cancel_action"] for row in rows}

    async def release(self, worker_id: UUID, *, drained: bool) -> tuple[int, int]:
        """Of a worker that stops (`drained`), or died: how many of its runs became pending again, and how many ended (cancelled, or
        their attempts are used up)."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["release"], worker_id, drained)
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["released"], row["ended"]

    async def rescue(self, limit: int = 100) -> tuple[int, int]:
        """How many runs of lost workers became pending again, and how many ended because their attempts are used up."""
        async with translated():
            row = await self._pool.fetchrow(_SQL["rescue"], limit)
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["rescued"], row["failed"]

    async def cancel_pending(self, run_id: UUID) -> bool:
        async with translated():
            return bool(await self._pool.fetchval(_SQL["cancel_pending"], run_id))

    async def read_events(self, after: Mapping[UUID, int], limit: int) -> dict[UUID, list[RunEvent]]:
        """The next events of each run after the seq given for it, `limit` at most for each."""
        async with translated():
            rows = await self._pool.fetch(_SQL["read_events"], list(after), list(after.values()), limit)
        found: dict[UUID, list[RunEvent]] = {}
        for row in rows:
            event = RunEvent(row["seq"], row["attempt"], row["event"], row["data"])
            found.setdefault(row["run_id"], []).append(event)
        return found

    async def last_seq(self, run_id: UUID) -> int:
        async with translated():
            seq: int = await self._pool.fetchval(_SQL["last_seq"], run_id)
        return seq

    async def place_now(self, run_id: UUID) -> int:
        """The seq of the newest event that is not the run's end."""
        async with translated():
            seq: int = await self._pool.fetchval(_SQL["place_now"], run_id)
        return seq

    async def state(self) -> QueueState:
        async with translated():
            row = await self._pool.fetchrow(_SQL["state"])
        assert row is not None  # noqa: S101 - it aggregates: always one row
        return QueueState(**row)

    async def sweep_events(self, older_than: timedelta, limit: int = 1000) -> int:
        """Deletes the events of runs that ended so long ago; returns how many rows went."""
        async with translated():
            status = await self._pool.execute(_SQL["sweep_events"], older_than, limit)
        return int(status.rpartition(" ")[2])


def _claimed(row: Any) -> ClaimedRun:
    given = dict(row)
    return ClaimedRun(**given | {"metadata": orjson.loads(given["metadata"]), "kwargs": orjson.loads(given["kwargs"])})


def _ends_json(ends: Sequence[EndedRun]) -> str:
    return without_nul(dump_json([_end_json(each) for each in ends])).decode()


def _end_json(ended: EndedRun) -> dict[str, Any]:
    end = ended.end
    values = None if end.values is None else orjson.Fragment(end.values)
    return {
        "run_id": ended.run.run_id,
        "thread_id": ended.run.thread_id,
        "attempt": ended.run.attempt,
        "status": end.status,
        "thread_status": end.thread_status,
        "values": values if ended.run.keep_thread else None,
        "error": end.error,
        "interrupts": end.interrupts,
        "metadata": end.metadata,
        "result": ended.result.decode(),
    }
