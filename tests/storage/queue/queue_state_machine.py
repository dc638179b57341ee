"""A hypothesis state machine that compares the run queue with a model of it in Python after each step.

Each of two workers believes that it holds the runs that it claimed until an answer tells it otherwise, so either may
be a zombie at any time. Leases expire by UPDATE, without waiting. Checkpoints are written by the savers of runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langgraph._internal._constants import RESUME
from langgraph.checkpoint.base import empty_checkpoint
from run_storage import GRAPH, LEASE, RunStorage, custom_event, ended_run, new_run

from robyn_server.core.access.principal import LOCAL
from robyn_server.core.errors import Conflict
from robyn_server.core.ids import new_id
from robyn_server.core.runs import END, ClaimedRun
from robyn_server.graphs.checkpoints.saver import Checkpoints
from robyn_server.graphs.checkpoints.serializer import checkpoint_serializer

_T = TypeVar("_T")
SERDE = checkpoint_serializer()
_ATTEMPTS = 3
_LOST_BEFORE_ALONE = 2
"""A run that has lost so many workers is claimed for a process of its own."""
WORKERS = st.integers(0, 1)
THREADS = st.integers(0, 1)
STRATEGIES = st.sampled_from(["enqueue", "reject", "interrupt", "rollback"])
ACTIONS = st.sampled_from(["interrupt", "rollback"])
CHANNELS = st.sampled_from(["a", RESUME])
"""A write of the first is kept when it is repeated; one of the second is replaced."""


@dataclass(slots=True)
class ModelRun:
    run_id: UUID
    thread: int
    order: int
    """Position in the queue. Runs are claimed in the order of their creation."""
    status: str = "pending"
    ready: bool = False
    attempt: int = 0
    max_attempts: int = _ATTEMPTS
    workers_lost: int = 0
    worker: int | None = None
    is_expired: bool = False
    cancelled: str | None = None
    events: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "running")

    @property
    def token(self) -> tuple[UUID, int]:
        return self.run_id, self.attempt


@dataclass(slots=True)
class ModelThread:
    """`checkpoints`: the run and the channel versions of each, by id.

    `writes`: values, by checkpoint, task and channel.
    """

    settled: str = "idle"
    values: Any = None
    checkpoints: dict[str, tuple[UUID, dict[str, str]]] = field(default_factory=dict)
    writes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    undo: dict[UUID, dict[str, dict[tuple[str, str, str], int]]] = field(default_factory=dict)
    """Of each open run: the writes beside checkpoints of earlier runs, as they were."""

    def roll_back(self, run_id: UUID) -> None:
        for checkpoint, before in self.undo.pop(run_id, {}).items():
            self.writes = {key: value for key, value in self.writes.items() if key[0] != checkpoint} | before
        self.checkpoints = {key: made for key, made in self.checkpoints.items() if made[0] != run_id}
        self.writes = {key: value for key, value in self.writes.items() if key[0] in self.checkpoints}


@dataclass(slots=True)
class Claim:
    """A run that a worker believes to hold, and the number of its last event."""

    run: ClaimedRun
    seq: int


class QueueStateMachine(RuleBasedStateMachine):
    """`wait` runs a coroutine."""

    def __init__(self, storage: RunStorage, checkpoints: Checkpoints, wait: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self.storage = storage
        self.checkpoints = checkpoints
        self.wait = wait
        self.models = [ModelThread(), ModelThread()]
        self.written = 0
        self.workers = [new_id(), new_id()]
        self.threads = [new_id(), new_id()]
        self.runs: dict[UUID, ModelRun] = {}
        self.deleted: dict[UUID, ModelRun] = {}
        self.claims: list[dict[tuple[UUID, int], Claim]] = [{}, {}]
        self.spare: list[UUID] = []

    @initialize()
    def empty(self) -> None:
        tables = "agenthall.threads, agenthall.runs, agenthall.run_events, agenthall.run_undo, langgraph.checkpoints"
        self.wait(
            self.storage.admin.execute(
                f"truncate {tables}, langgraph.checkpoint_writes, langgraph.checkpoint_blobs cascade"
            )
        )

    # Clients

    @rule(thread=THREADS, strategy=STRATEGIES, late=st.booleans())
    def enqueue(self, thread: int, strategy: str, late: bool) -> None:
        """`late`: with an id that is older than those of other runs, as from a slow web process."""
        run_id = self.spare.pop() if late and self.spare else new_id()
        if not late:
            self.spare.append(new_id())
        new = new_run(self.threads[thread], run_id=run_id, max_attempts=_ATTEMPTS, multitask_strategy=strategy)
        outcome, _ = self.wait(self.storage.runs.enqueue(LOCAL, new))
        if strategy in ("interrupt", "rollback"):
            self._stop_open_runs(thread, strategy)
        busy = any(run.is_open for run in self._of(thread))
        assert outcome == ("busy" if busy and strategy == "reject" else "enqueued")
        if outcome == "enqueued":
            self.runs[run_id] = ModelRun(run_id, thread, len(self.runs) + len(self.deleted), ready=not busy)

    def _stop_open_runs(self, thread: int, action: str) -> None:
        open_runs = [run for run in self._of(thread) if run.is_open]
        for run in sorted(open_runs, key=lambda run: run.ready):
            self._cancel(run, action)

    def _cancel(self, run: ModelRun, action: str) -> None:
        run.cancelled = "rollback" if run.cancelled == "rollback" else action
        if run.status == "pending":
            self._end(run, "interrupted", "interrupted")

    @precondition(lambda self: self.runs)
    @rule(choice=st.integers(0, 100), action=ACTIONS)
    def cancel(self, choice: int, action: str) -> None:
        run = self._pick(choice)
        found = self.wait(self.storage.runs.cancel(LOCAL, self.threads[run.thread], run.run_id, action))
        assert found == (run.status if run.is_open else "ended")
        if run.status == "pending":
            assert self.wait(self.storage.queue.cancel_pending(run.run_id, action))
        if run.is_open:
            self._cancel(run, action)

    @rule(thread=THREADS)
    def delete_thread(self, thread: int) -> None:
        existed = self.wait(self.storage.get_thread(self.threads[thread])) is not None
        assert self.wait(self.storage.threads.delete(LOCAL, self.threads[thread])) == existed
        for run in self._of(thread):
            if run.is_open:
                run.events.append(END)
            self.deleted[run.run_id] = self.runs.pop(run.run_id)
        self.models[thread] = ModelThread()

    # Workers

    @rule(worker=WORKERS, slots=st.integers(1, 3))
    def claim(self, worker: int, slots: int) -> None:
        given = self.wait(self.storage.claim(self.workers[worker], slots))
        waiting = sorted(filter(_has_turn, self.runs.values()), key=_order)
        assert {each.run_id for each in given} == {run.run_id for run in waiting[:slots]}
        self._take(worker, given)

    @rule(worker=WORKERS)
    def claim_alone(self, worker: int) -> None:
        given = self.wait(self.storage.queue.claim_alone(self.workers[worker], LEASE, [GRAPH]))
        alone = [run for run in self.runs.values() if run.status == "pending" and run.ready and not _has_turn(run)]
        assert [each.run_id for each in given] == [run.run_id for run in sorted(alone, key=_order)[:1]]
        self._take(worker, given)

    def _take(self, worker: int, given: list[ClaimedRun]) -> None:
        for each in given:
            run = self.runs[each.run_id]
            run.status, run.worker, run.is_expired, run.attempt = "running", worker, False, run.attempt + 1
            assert (each.attempt, each.last_seq) == (run.attempt, len(run.events))
            self.claims[worker][run.token] = Claim(each, each.last_seq)

    @precondition(lambda self: any(self.claims))
    @rule(
        worker=WORKERS,
        numbers=st.lists(st.integers(0, 100), max_size=3),
        ending=st.lists(st.integers(0, 100), max_size=2),
    )
    def flush(self, worker: int, numbers: list[int], ending: list[int]) -> None:
        """Write events of any runs that the worker believes to hold, then ends of some."""
        claims = list(self.claims[worker].values())
        if not claims:
            return
        events = [self._next_event(claims[number % len(claims)]) for number in numbers]
        ends = list({number % len(claims): claims[number % len(claims)] for number in ending}.values())
        lost, promoted_any = self.wait(
            self.storage.queue.flush(self.workers[worker], events, [ended_run(each.run) for each in ends])
        )
        touched = {_token(run) for run, _ in events} | {_token(each.run) for each in ends}
        assert lost == {token for token in touched if not self._holds(worker, token)}
        for run, event in events:
            if self._holds(worker, _token(run)):
                self.runs[run.run_id].events.append(event.event)
        won = [self.runs[each.run.run_id] for each in ends if _token(each.run) not in lost]
        promoted = [self._end(run, "success", "idle", {"text": "done"}) for run in won]
        assert promoted_any == any(promoted)
        for token in lost | {_token(each.run) for each in ends}:
            self.claims[worker].pop(token, None)

    @rule(worker=WORKERS)
    def renew(self, worker: int) -> None:
        believed = self.claims[worker]
        ours = self.wait(self.storage.queue.renew(self.workers[worker], [run_id for run_id, _ in believed], LEASE))
        held = {run.token: run for run in self.runs.values() if run.status == "running" and run.worker == worker}
        expected = {token: run for token, run in held.items() if run.run_id in {run_id for run_id, _ in believed}}
        assert ours == {token: run.cancelled for token, run in expected.items()}
        for token, run in expected.items():
            run.is_expired = False
            assert token in believed
        self.claims[worker] = {token: claim for token, claim in believed.items() if token in ours}

    @rule(worker=WORKERS, drained=st.booleans())
    def release(self, worker: int, drained: bool) -> None:
        held = [run for run in self.runs.values() if run.status == "running" and run.worker == worker]
        for run in held:
            run.max_attempts += drained and run.cancelled is None
            run.workers_lost -= drained
        released = sum(map(self._requeue_or_end, held))
        outcome = self.wait(self.storage.queue.release(self.workers[worker], drained=drained))
        assert outcome == (released, len(held) - released)

    def _requeue_or_end(self, run: ModelRun) -> bool:
        """Take a run from a worker that is gone. Returns whether the run goes on."""
        if run.cancelled is not None:
            self._end(run, "interrupted", "interrupted")
        elif run.attempt >= run.max_attempts:
            run.events.append("error")
            self._end(run, "error", "error")
        else:
            self._make_pending(run)
            run.workers_lost += 1
            return True
        return False

    @precondition(lambda self: any(self.claims))
    @rule(worker=WORKERS, choice=st.integers(0, 100))
    def write_checkpoint(self, worker: int, choice: int) -> None:
        """Write a checkpoint with a blob, as a step of a run does."""
        claim = self._claim(worker, choice)
        if claim is None:
            return
        thread = self.models[self.threads.index(claim.run.thread_id)]
        latest = max(thread.checkpoints, default=None)
        self.written += 1
        versions = (thread.checkpoints[latest][1] if latest else {}) | {"a": f"{self.written:09}"}
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"], checkpoint["channel_versions"] = {"a": [self.written]}, {**versions}
        if self._writes(
            worker, claim, lambda saver: saver.aput(_at(claim, latest), checkpoint, {}, {"a": versions["a"]})
        ):
            thread.checkpoints[checkpoint["id"]] = (claim.run.run_id, versions)

    @precondition(lambda self: any(self.claims) and any(model.checkpoints for model in self.models))
    @rule(worker=WORKERS, choice=st.integers(0, 100), task=st.sampled_from(["one", "two"]), channel=CHANNELS)
    def write_beside_checkpoint(self, worker: int, choice: int, task: str, channel: str) -> None:
        """Write the result of a task, or an answer, beside the latest checkpoint: of this run, or of an earlier one."""
        claim = self._claim(worker, choice)
        thread = self.models[self.threads.index(claim.run.thread_id)] if claim else ModelThread()
        if claim is None or not thread.checkpoints:
            return
        latest = max(thread.checkpoints)
        self.written += 1

        async def write(saver: Any) -> None:
            await saver.aget_tuple(_at(claim, None))
            await saver.aput_writes(_at(claim, latest), [(channel, self.written)], task)

        if not self._writes(worker, claim, write):
            return
        run_id = claim.run.run_id
        if thread.checkpoints[latest][0] != run_id:
            before = {key: value for key, value in thread.writes.items() if key[0] == latest}
            thread.undo.setdefault(run_id, {}).setdefault(latest, before)
        key = (latest, task, channel)
        if channel == RESUME or key not in thread.writes:
            thread.writes[key] = self.written

    @precondition(lambda self: not any(run.is_open for run in self.runs.values()))
    @rule(worker=WORKERS, thread=THREADS, channel=CHANNELS)
    def leave_an_interrupt_and_resume(self, worker: int, thread: int, channel: str) -> None:
        """Several of the other rules, which rarely come in this order: a run ends, and the next one writes beside its
        checkpoint."""
        self.enqueue(thread, "enqueue", late=False)
        self.claim(worker, 1)
        last = len(self.claims[worker]) - 1
        self.write_checkpoint(worker, last)
        self.write_beside_checkpoint(worker, last, "one", channel)
        self.flush(worker, [], [last])
        self.enqueue(thread, "enqueue", late=False)
        self.claim(worker, 1)
        self.write_beside_checkpoint(worker, len(self.claims[worker]) - 1, "one", channel)

    def _claim(self, worker: int, choice: int) -> Claim | None:
        claims = list(self.claims[worker].values())
        return claims[choice % len(claims)] if claims else None

    def _writes(self, worker: int, claim: Claim, write: Callable[[Any], Awaitable[Any]]) -> bool:
        """Write as a worker does. Returns whether it was written, which is so only while the worker holds the run."""
        leased = self.checkpoints.with_lease(self.workers[worker], *_token(claim.run))

        async def write_leased() -> None:
            await write(leased.saver())

        try:
            self.wait(write_leased())
        except Conflict:
            assert not self._holds(worker, _token(claim.run))
            return False
        assert self._holds(worker, _token(claim.run))
        return True

    # Time

    @precondition(lambda self: any(run.status == "running" for run in self.runs.values()))
    @rule(choice=st.integers(0, 100))
    def expire_lease(self, choice: int) -> None:
        running = [run for run in self.runs.values() if run.status == "running"]
        run = running[choice % len(running)]
        self.wait(self.storage.expire_leases(run.run_id))
        run.is_expired = True

    @rule()
    def rescue(self) -> None:
        lost = [run for run in self.runs.values() if run.status == "running" and run.is_expired]
        rescued = sum(map(self._requeue_or_end, lost))
        assert self.wait(self.storage.queue.rescue()) == (rescued, len(lost) - rescued)

    # Invariants

    @invariant()
    def tables_are_as_the_model(self) -> None:
        self.wait(self._compare())

    async def _compare(self) -> None:
        rows = await self.storage.admin.fetch("select run_id, status, ready, attempt, worker_id from agenthall.runs")
        assert {row["run_id"]: tuple(row)[1:] for row in rows} == {
            run.run_id: (run.status, run.ready, run.attempt, None if run.worker is None else self.workers[run.worker])
            for run in self.runs.values()
        }
        events = await self.storage.admin.fetch(
            "select run_id, array_agg(event order by seq) as events, max(seq) as last from agenthall.run_events group by run_id"
        )
        stored_events = {row["run_id"]: row["events"] for row in events}
        every = self.runs | self.deleted
        assert stored_events == {run_id: run.events for run_id, run in every.items() if run.events}
        assert all(row["last"] == len(row["events"]) for row in events)
        assert all(run.attempt <= run.max_attempts for run in every.values())
        await self._compare_threads()
        await self.storage.check_invariants()

    async def _compare_threads(self) -> None:
        for thread, model in enumerate(self.models):
            row = await self.storage.get_thread(self.threads[thread])
            if row is not None:
                busy = any(run.is_open for run in self._of(thread))
                assert (row["status"], orjson.loads(row["values"] or "null")) == (
                    "busy" if busy else model.settled,
                    model.values,
                )
            assert await self._stored(thread) == (
                set(model.checkpoints),
                {version for _, versions in model.checkpoints.values() for version in versions.values()},
                model.writes,
            )
        open_runs = {run.run_id for run in self.runs.values() if run.is_open}
        undo = await self.storage.admin.fetch("select distinct run_id from agenthall.run_undo")
        assert {row["run_id"] for row in undo} == {key for model in self.models for key in model.undo} & open_runs

    async def _stored(self, thread: int) -> tuple[set[str], set[str], dict[tuple[str, str, str], int]]:
        """The thread's checkpoints, the versions of its blobs, and its writes."""
        thread_id = str(self.threads[thread])
        of_thread = "from langgraph.{} where thread_id = $1"
        fetch = self.storage.admin.fetch
        checkpoints = await fetch(f"select checkpoint_id {of_thread.format('checkpoints')}", thread_id)
        blobs = await fetch(f"select version {of_thread.format('checkpoint_blobs')}", thread_id)
        writes = await fetch(f"select * {of_thread.format('checkpoint_writes')}", thread_id)
        return (
            {row["checkpoint_id"] for row in checkpoints},
            {row["version"] for row in blobs},
            {
                (row["checkpoint_id"], row["task_id"], row["channel"]): SERDE.loads_typed((row["type"], row["blob"]))
                for row in writes
            },
        )

    # The model

    def _of(self, thread: int) -> list[ModelRun]:
        return [run for run in self.runs.values() if run.thread == thread]

    def _pick(self, choice: int) -> ModelRun:
        runs = list(self.runs.values())
        return runs[choice % len(runs)]

    def _holds(self, worker: int, token: tuple[UUID, int]) -> bool:
        run = self.runs.get(token[0])
        return run is not None and run.status == "running" and run.worker == worker and run.token == token

    def _next_event(self, claim: Claim) -> Any:
        claim.seq += 1
        return custom_event(claim.run, claim.seq)

    def _make_pending(self, run: ModelRun) -> None:
        run.status, run.ready, run.worker, run.is_expired = "pending", True, None, False

    def _end(self, run: ModelRun, status: str, thread_status: str, values: Any = None) -> bool:
        """End a run. Returns whether another run of the thread became claimable."""
        thread = self.models[run.thread]
        run.status, run.ready, run.worker, run.is_expired = status, False, None, False
        run.events.append(END)
        if run.cancelled == "rollback":
            thread.roll_back(run.run_id)
            self.deleted[run.run_id] = self.runs.pop(run.run_id)
        else:
            thread.undo.pop(run.run_id, None)
            thread.settled = thread_status if run.attempt else thread.settled
            thread.values = values or thread.values
        return self._promote_next(run.thread)

    def _promote_next(self, thread: int) -> bool:
        pending = sorted((run.run_id, run) for run in self._of(thread) if run.status == "pending")
        if not pending or any(run.ready for run in self._of(thread)):
            return False
        pending[0][1].ready = True
        return True


def _at(claim: Claim, checkpoint_id: str | None) -> Any:
    configurable = {"thread_id": str(claim.run.thread_id), "checkpoint_ns": ""}
    return {"configurable": configurable | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


def _has_turn(run: ModelRun) -> bool:
    return run.status == "pending" and run.ready and run.workers_lost < _LOST_BEFORE_ALONE


def _order(run: ModelRun) -> int:
    return run.order


def _token(run: ClaimedRun) -> tuple[UUID, int]:
    return run.run_id, run.attempt


def wait_in(runner: asyncio.Runner) -> Callable[[Awaitable[_T]], _T]:
    async def inside(work: Awaitable[_T]) -> _T:
        return await work

    return lambda work: runner.run(inside(work))
