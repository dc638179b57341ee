"""The queue of runs: workers claim them from it, write their events and ends to it, and web processes read these.

Works as agenthall_system.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from robyn_server.core.json.nul import without_nul
from robyn_server.core.queue.limits import ANY_RUNNING, RunningLimits
from robyn_server.core.queue.turns import QueueTurns, Served
from robyn_server.core.registry.instances import INSTANCES_GRAPH
from robyn_server.core.runs import ClaimedRun, EventTransport, RunEnd, RunEvent
from robyn_server.core.trace_context import TraceContext
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.json import dump_json, from_json, to_json
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import Bound, load
from robyn_server.storage.runs.runs import CANCELLED

LARGEST_READ = 1_000_000
"""Bytes of one run's events that are read at once, but for the last of them."""
_CALL_SECONDS = 0.5
"""Time between two looks for scheduled runs: less than that between two polls of a worker."""
ONLY_END = 2**31 - 1
"""A seq after every event. A follower that starts there gets only the run's end."""

_SQL = load("runs/queue")

_KEYS = ("tenant", "owner")
"""Columns of a claim that tell whose turn it was."""

RunLease: TypeAlias = tuple[UUID, int]
"""A run and one of its attempts: what a worker holds under a lease."""


class EventsUndone(Exception):
    """The database has crashed since the last flush, which may have undone events. Nothing was written now."""


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run of a thread that has begun, or is the next to begin. `is_active`: it has not ended."""

    run_id: UUID
    is_active: bool
    is_ended: bool
    event_transport: EventTransport = EventTransport.POSTGRES


@dataclass(frozen=True, slots=True)
class QueueState:
    """Numbers of runs. Waits are seconds since a run was due; None when no run waits.

    `unserved`: runs that are due and could start, if a worker served their graph.
    """

    pending: int
    running: int
    longest_wait: float | None
    median_wait: float | None
    longest_unblocked_wait: float | None
    unserved: int = 0


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run's end, to be written."""

    run: ClaimedRun
    end: RunEnd
    result: bytes


class RunQueue:
    """Runs as the server's own processes handle them. Works as agenthall_system.

    `limits`: of the runs that are claimed. A queue remembers whose turn it is, so a worker keeps one.
    """

    def __init__(self, pool: Pool, limits: RunningLimits = ANY_RUNNING) -> None:
        self._pool = pool
        self._limits = limits
        self._turns, self._instance_turns = QueueTurns(limits.weights), QueueTurns(limits.weights)
        self._crash_mark: datetime | None = None
        """That of the database at the last flush."""
        self._calls_at = 0.0

    async def claim(
        self, worker_id: UUID, slots: int, lease: timedelta, graphs: Sequence[str], *, instance_runs: int = 0
    ) -> list[ClaimedRun]:
        """Claim up to `slots` runs of `graphs`, and up to `instance_runs` of the graph of instances, if it is there.

        Where more wait, organizations take turns, and owners within an organization.
        """
        query = _SQL["claim"].bind(
            worker_id=worker_id,
            slots=slots,
            lease=lease,
            graphs=graphs,
            instance_runs=instance_runs,
            turns=self._turns.as_parameter(),
            instance_turns=self._instance_turns.as_parameter(),
            running_of_owner=self._limits.of_owner,
            running_of_organization=self._limits.of_organization,
            weights=self._weights_json,
            calls=self._calls_scheduled(),
        )
        async with translated():
            rows = [dict(row) for row in await self._pool.fetch(*query)]
        served = [
            (row["graph_id"], Served(row.pop("tenant"), row.pop("owner"), row["organization_id"])) for row in rows
        ]
        self._record(self._turns, [each for graph, each in served if graph != INSTANCES_GRAPH], slots)
        self._record(self._instance_turns, [each for graph, each in served if graph == INSTANCES_GRAPH], instance_runs)
        return [_claimed(row) for row in rows]

    async def claim_alone(self, worker_id: UUID, lease: timedelta, graphs: Sequence[str]) -> list[ClaimedRun]:
        """Claim one run that has lost two workers, for a process that executes nothing else."""
        return await self._fetch_claimed(_SQL["claim_alone"].bind(worker_id=worker_id, lease=lease, graphs=graphs))

    async def hand_over(self, worker_id: UUID, to: UUID, run_ids: Sequence[UUID]) -> None:
        """Let another worker hold these runs, which this one holds. Their attempts and leases stay."""
        async with translated():
            await self._pool.execute(*_SQL["hand_over"].bind(worker_id=worker_id, to=to, run_ids=run_ids))

    async def count_held(self, worker_ids: Sequence[UUID]) -> int:
        """Count the runs that these workers hold."""
        async with translated():
            count: int = await self._pool.fetchval(*_SQL["count_held"].bind(worker_ids=worker_ids))
        return count

    async def list_claimed(self, worker_id: UUID) -> list[ClaimedRun]:
        """Runs that were claimed for this worker, by another process."""
        return await self._fetch_claimed(_SQL["list_claimed"].bind(worker_id=worker_id))

    async def _fetch_claimed(self, query: Bound) -> list[ClaimedRun]:
        async with translated():
            rows = [dict(row) for row in await self._pool.fetch(*query)]
        return [_claimed({key: row[key] for key in row if key not in _KEYS}) for row in rows]

    def _calls_scheduled(self) -> bool:
        """Whether this claim looks for scheduled runs that are due: once in a while, as the worker polls."""
        if (now := time.monotonic()) < self._calls_at:
            return False
        self._calls_at = now + _CALL_SECONDS
        return True

    @property
    def _weights_json(self) -> str | None:
        weights = {str(each): weight for each, weight in self._limits.weights.items()}
        return to_json(weights) if weights else None

    def _record(self, turns: QueueTurns, served: Sequence[Served], room: int) -> None:
        if room > 0:
            turns.record(served, is_emptied=len(served) < room and not self._limits)

    async def flush(
        self, worker_id: UUID, events: Sequence[tuple[ClaimedRun, RunEvent]], ends: Sequence[EndedRun]
    ) -> tuple[set[RunLease], bool]:
        """Write events and ends in one transaction.

        Return the leases that this worker has lost, for which nothing was written, and whether another run became
        claimable. Raises EventsUndone once after a crash of the database: write the latest events again, and these.
        """
        async with translated():
            row = await self._pool.fetchrow(
                *_SQL["flush"].bind(
                    worker_id=worker_id,
                    run_ids=[run.run_id for run, _ in events],
                    attempts=[run.attempt for run, _ in events],
                    seqs=[event.seq for _, event in events],
                    events=[event.event for _, event in events],
                    data=[event.data for _, event in events],
                    ends=_ends_json(ends),
                    crash_mark=self._crash_mark,
                )
            )
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        former, self._crash_mark = self._crash_mark, row["crash_mark"]
        if former not in (None, self._crash_mark):
            raise EventsUndone
        return set(zip(row["lost"], row["lost_attempts"], strict=True)), row["woke"]

    async def renew(self, worker_id: UUID, run_ids: Sequence[UUID], lease: timedelta) -> dict[RunLease, str | None]:
        """Renew leases. Return those that are still held, each with the cancel action that was asked for."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["renew"].bind(worker_id=worker_id, run_ids=run_ids, lease=lease))
        return {(row["run_id"], row["attempt"]): row["cancel_action"] for row in rows}

    async def list_held(self, worker_id: UUID) -> list[UUID]:
        """Runs that the worker holds, also those of a claim whose answer it has not read yet."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["list_held"].bind(worker_id=worker_id))
        return [row["run_id"] for row in rows]

    async def release_stalled(
        self, worker_id: UUID, charged: Sequence[UUID], error: Mapping[str, Any]
    ) -> tuple[int, int]:
        """Release the runs of a worker that is stuck. Only `charged` lose an attempt; `error` is their end without
        attempts left.

        Return how many became pending again, and how many ended.
        """
        async with translated():
            query = _SQL["release_stalled"].bind(worker_id=worker_id, charged=charged, error=to_json(error))
            row = await self._pool.fetchrow(*query)
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["released"], row["ended"]

    async def release(self, worker_id: UUID, *, drained: bool) -> tuple[int, int]:
        """Release the runs of a worker that stops (`drained`) or died.

        Return how many became pending again, and how many ended: cancelled, or without attempts left.
        """
        async with translated():
            row = await self._pool.fetchrow(*_SQL["release"].bind(worker_id=worker_id, drained=drained))
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["released"], row["ended"]

    async def rescue(self, limit: int = 100) -> tuple[int, int]:
        """Release runs with an expired lease.

        Return how many became pending again, and how many had no attempts left.
        """
        async with translated():
            row = await self._pool.fetchrow(*_SQL["rescue"].bind(limit=limit))
        assert row is not None  # noqa: S101 - the function has OUT parameters: always one row
        return row["rescued"], row["failed"]

    async def cancel_pending(self, run_id: UUID, action: str = "interrupt", reason: str = CANCELLED) -> bool:
        """End a pending run, or delete it (rollback). Return False if it is not pending any more."""
        query = _SQL["cancel_pending"].bind(run_id=run_id, action=action, reason=reason)
        async with translated():
            return bool(await self._pool.fetchval(*query))

    async def read_events(
        self, after: Mapping[UUID, int], limit: int, max_bytes: int = LARGEST_READ
    ) -> dict[UUID, list[RunEvent]]:
        """Read up to `limit` events of each run after the seq given for it, and no more once they have `max_bytes`."""
        async with translated():
            query = _SQL["read_events"].bind(
                run_ids=list(after), after=list(after.values()), limit=limit, max_bytes=max_bytes
            )
            rows = await self._pool.fetch(*query)
        found: dict[UUID, list[RunEvent]] = {}
        for row in rows:
            event = RunEvent(row["seq"], row["attempt"], row["event"], row["data"])
            found.setdefault(row["run_id"], []).append(event)
        return found

    async def list_following(self, after: Mapping[UUID, UUID], limit: int) -> dict[UUID, list[BegunRun] | None]:
        """Of each thread, the begun runs that are newer than the run given for it, at most `limit`, and the active one.

        None for a thread that does not exist.
        """
        query = _SQL["list_following"].bind(thread_ids=list(after), after=list(after.values()), limit=limit)
        async with translated():
            rows = await self._pool.fetch(*query)
        found: dict[UUID, list[BegunRun] | None] = {}
        for row in rows:
            runs = found.setdefault(row["thread_id"], [] if row["is_there"] else None)
            if runs is not None and row["run_id"] is not None:
                transport = EventTransport(row["event_transport"])
                runs.append(BegunRun(row["run_id"], row["is_active"], row["is_ended"], transport))
        return found

    async def thread_position(self, thread_id: UUID) -> tuple[UUID | None, tuple[UUID, EventTransport] | None]:
        """The newest run of the thread that has begun, and the running one with its transport."""
        async with translated():
            row = await self._pool.fetchrow(*_SQL["thread_position"].bind(thread_id=thread_id))
        assert row is not None  # noqa: S101 - `always` is a row
        running = None if row["running"] is None else (row["running"], EventTransport(row["event_transport"]))
        return row["newest"], running

    async def last_seq(self, run_id: UUID) -> int:
        """The seq of the newest event in the database, the run's end included; 0 when there is none."""
        async with translated():
            seq: int = await self._pool.fetchval(*_SQL["last_seq"].bind(run_id=run_id))
        return seq

    async def last_seq_before_end(self, run_id: UUID) -> int:
        """The seq of the newest event in the database before the run's end."""
        async with translated():
            seq: int = await self._pool.fetchval(*_SQL["last_seq_before_end"].bind(run_id=run_id))
        return seq

    async def has_event(self, run_id: UUID, seq: int) -> bool:
        async with translated():
            return bool(await self._pool.fetchval(*_SQL["has_event"].bind(run_id=run_id, seq=seq)))

    async def state(self) -> QueueState:
        async with translated():
            row = await self._pool.fetchrow(*_SQL["state"].bind())
        assert row is not None  # noqa: S101 - it aggregates: always one row
        return QueueState(**row)

    async def sweep_events(self, older_than: timedelta, limit: int = 1000) -> dict[UUID, int]:
        """Delete the events of up to `limit` runs that ended so long ago. Return how many each of them had here."""
        async with translated():
            rows = await self._pool.fetch(*_SQL["sweep_events"].bind(older_than=older_than, limit=limit))
        return {row["run_id"]: row["events"] for row in rows}


def _claimed(given: dict[str, Any]) -> ClaimedRun:
    given["event_transport"] = EventTransport(given["event_transport"])
    trace = TraceContext.of(given.pop("traceparent"), given.pop("tracestate"))
    return ClaimedRun(**given | {name: from_json(given[name]) for name in ("metadata", "kwargs", "auth")}, trace=trace)


def _ends_json(ends: Sequence[EndedRun]) -> str:
    # only a copy: the checkpoint keeps the original
    return without_nul(dump_json([_end_json(each) for each in ends])).decode()


def _end_json(ended: EndedRun) -> dict[str, Any]:
    end = ended.end
    text = end.values if end.thread_values is None else end.thread_values
    values = None if text is None else orjson.Fragment(text)
    return {
        "run_id": ended.run.run_id,
        "thread_id": ended.run.thread_id,
        "attempt": ended.run.attempt,
        "status": end.status,
        "thread_status": end.thread_status,
        "values": values if ended.run.keep_thread else None,
        "error": {**(end.error or {}), "frames": end.frames} if end.frames else end.error,
        "interrupts": end.interrupts,
        "metadata": end.metadata,
        "result": ended.result.decode(),
    }
