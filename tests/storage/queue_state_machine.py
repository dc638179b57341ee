"""A hypothesis state machine that compares the run queue with a model of it in Python after each step.

Each of two workers believes that it holds the runs that it claimed until an answer tells it otherwise, so either may
be a zombie at any time. Leases expire by UPDATE, without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from run_storage import LEASE, RunStorage, custom_event, ended_run, new_run

from robyn_server.core.ids import new_id
from robyn_server.core.principal import LOCAL
from robyn_server.core.runs import END, ClaimedRun

_T = TypeVar("_T")
_ATTEMPTS = 2
WORKERS = st.integers(0, 1)
THREADS = st.integers(0, 1)


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
    worker: int | None = None
    is_expired: bool = False
    cancelled: bool = False
    events: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "running")

    @property
    def token(self) -> tuple[UUID, int]:
        return self.run_id, self.attempt


@dataclass(slots=True)
class Claim:
    """A run that a worker believes to hold, and the number of its last event."""

    run: ClaimedRun
    seq: int


class QueueStateMachine(RuleBasedStateMachine):
    """`wait` runs a coroutine."""

    def __init__(self, storage: RunStorage, wait: Callable[[Awaitable[Any]], Any]) -> None:
        super().__init__()
        self.storage = storage
        self.wait = wait
        self.workers = [new_id(), new_id()]
        self.threads = [new_id(), new_id()]
        self.runs: dict[UUID, ModelRun] = {}
        self.deleted: dict[UUID, ModelRun] = {}
        self.claims: list[dict[tuple[UUID, int], Claim]] = [{}, {}]
        self.spare: list[UUID] = []

    @initialize()
    def empty(self) -> None:
        self.wait(self.storage.admin.execute("truncate agenthall.threads, agenthall.runs, agenthall.run_events"))

    # Clients

    @rule(thread=THREADS, reject=st.booleans(), late=st.booleans())
    def enqueue(self, thread: int, reject: bool, late: bool) -> None:
        """`late`: with an id that is older than those of other runs, as from a slow web process."""
        run_id = self.spare.pop() if late and self.spare else new_id()
        if not late:
            self.spare.append(new_id())
        strategy = "reject" if reject else "enqueue"
        new = new_run(self.threads[thread], run_id=run_id, max_attempts=_ATTEMPTS, multitask_strategy=strategy)
        outcome, _ = self.wait(self.storage.runs.enqueue(LOCAL, new))
        busy = any(run.is_open for run in self._of(thread))
        assert outcome == ("busy" if busy and reject else "enqueued")
        if outcome == "enqueued":
            self.runs[run_id] = ModelRun(run_id, thread, len(self.runs) + len(self.deleted), ready=not busy)

    @precondition(lambda self: self.runs)
    @rule(choice=st.integers(0, 100))
    def cancel(self, choice: int) -> None:
        run = self._pick(choice)
        found = self.wait(self.storage.runs.cancel(LOCAL, self.threads[run.thread], run.run_id, "interrupt"))
        assert found == (run.status if run.is_open else "ended")
        if run.status == "pending":
            assert self.wait(self.storage.queue.cancel_pending(run.run_id))
            self._end(run, "interrupted")
        elif run.status == "running":
            run.cancelled = True

    @rule(thread=THREADS)
    def delete_thread(self, thread: int) -> None:
        existed = self.wait(self.storage.get_thread(self.threads[thread])) is not None
        assert self.wait(self.storage.threads.delete(LOCAL, self.threads[thread])) == existed
        for run in self._of(thread):
            if run.is_open:
                run.events.append(END)
            self.deleted[run.run_id] = self.runs.pop(run.run_id)

    # Workers

    @rule(worker=WORKERS, slots=st.integers(1, 3))
    def claim(self, worker: int, slots: int) -> None:
        given = self.wait(self.storage.claim(self.workers[worker], slots))
        waiting = sorted((run for run in self.runs.values() if run.status == "pending" and run.ready), key=_order)
        assert {each.run_id for each in given} == {run.run_id for run in waiting[:slots]}
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
        promoted = [self._end(self.runs[each.run.run_id], "success") for each in ends if _token(each.run) not in lost]
        assert promoted_any == any(promoted)
        for token in lost | {_token(each.run) for each in ends}:
            self.claims[worker].pop(token, None)

    @rule(worker=WORKERS)
    def renew(self, worker: int) -> None:
        believed = self.claims[worker]
        ours = self.wait(self.storage.queue.renew(self.workers[worker], [run_id for run_id, _ in believed], LEASE))
        held = {run.token: run for run in self.runs.values() if run.status == "running" and run.worker == worker}
        expected = {token: run for token, run in held.items() if run.run_id in {run_id for run_id, _ in believed}}
        assert ours == {token: "interrupt" if run.cancelled else None for token, run in expected.items()}
        for token, run in expected.items():
            run.is_expired = False
            assert token in believed
        self.claims[worker] = {token: claim for token, claim in believed.items() if token in ours}

    @rule(worker=WORKERS, drained=st.booleans())
    def release(self, worker: int, drained: bool) -> None:
        held = [run for run in self.runs.values() if run.status == "running" and run.worker == worker]
        for run in held:
            run.max_attempts += drained and not run.cancelled
        released = sum(map(self._requeue_or_end, held))
        outcome = self.wait(self.storage.queue.release(self.workers[worker], drained=drained))
        assert outcome == (released, len(held) - released)

    def _requeue_or_end(self, run: ModelRun) -> bool:
        """Take a run from a worker that is gone. Returns whether the run goes on."""
        if run.cancelled:
            self._end(run, "interrupted")
        elif run.attempt >= run.max_attempts:
            run.events.append("error")
            self._end(run, "error")
        else:
            self._make_pending(run)
            return True
        return False

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
        await self.storage.check_invariants()

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

    def _end(self, run: ModelRun, status: str) -> bool:
        """End a run. Returns whether another run of the thread became claimable."""
        run.status, run.ready, run.worker, run.is_expired = status, False, None, False
        run.events.append(END)
        return self._promote_next(run.thread)

    def _promote_next(self, thread: int) -> bool:
        pending = sorted((run.run_id, run) for run in self._of(thread) if run.status == "pending")
        if not pending or any(run.ready for run in self._of(thread)):
            return False
        pending[0][1].ready = True
        return True


def _order(run: ModelRun) -> int:
    return run.order


def _token(run: ClaimedRun) -> tuple[UUID, int]:
    return run.run_id, run.attempt


def wait_in(runner: asyncio.Runner) -> Callable[[Awaitable[_T]], _T]:
    async def inside(work: Awaitable[_T]) -> _T:
        return await work

    return lambda work: runner.run(inside(work))
