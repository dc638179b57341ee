"""The timeline of a run: spans that are derived from its records.

Rules
  1. A span has the times of a record. Nothing is guessed: where an end was not recorded, `ended_at` is None.
  2. The tasks of a step ran from the checkpoint before it to the one after it. So tasks of one step have the same
     times, and model and tool calls have those of their task.
  3. A task that failed or asked may go on in a later run, and leaves the notes of both. With a checkpoint of this run
     after it, it succeeded here; without one, it did not.
  4. An attempt whose worker was lost ends with the last event that it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from .runs import RunStatus

_ATTEMPT_STATUS = {
    RunStatus.SUCCESS: "success",
    RunStatus.ERROR: "error",
    RunStatus.TIMEOUT: "error",
    RunStatus.INTERRUPTED: "interrupted",
}
_JOB_STATUS = {"succeeded": "success", "failed": "error", "expired": "error", "cancelled": "interrupted"}
_START = "__start__"


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Of one attempt. `is_closed`: the event that ends the run is among them."""

    attempt: int
    events: int
    bytes: int
    last_at: datetime
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A checkpoint of the run, and the one that its tasks began from."""

    checkpoint_id: str
    parent_checkpoint_id: str | None
    at: datetime
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Write:
    """A value that a task wrote. `blob` is None where it is not needed, or too large."""

    checkpoint_id: str
    task_id: str
    task_path: str
    channel: str
    type: str | None
    blob: bytes | None


@dataclass(frozen=True, slots=True)
class Call:
    """A message of a model or a tool. `kind`: model or tool."""

    kind: str
    name: str
    is_error: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A task that began from a checkpoint, and has written something, in this run or in a later one."""

    checkpoint_id: str
    task_id: str
    node: str
    has_failed: bool
    has_interrupted: bool
    has_results: bool = True
    calls: Sequence[Call] = ()


@dataclass(frozen=True, slots=True)
class Job:
    id: UUID
    agent_id: str
    state: str
    attempt: int
    registration_id: UUID | None
    instance_id: str | None
    created_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunTimes:
    status: RunStatus
    attempt: int
    due_at: datetime
    claims: Sequence[datetime]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Span:
    id: str
    parent_id: str | None
    kind: str
    name: str
    started_at: datetime
    ended_at: datetime | None
    status: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        ended_at = None if self.ended_at is None else self.ended_at.isoformat()
        given = {name: getattr(self, name) for name in ("id", "parent_id", "kind", "name", "status")}
        return given | {"started_at": self.started_at.isoformat(), "ended_at": ended_at, "detail": dict(self.detail)}


def spans(
    run: RunTimes, events: Sequence[EventCounts], steps: Sequence[Step], tasks: Sequence[Task], jobs: Sequence[Job]
) -> list[Span]:
    attempts = list(_attempts(run, events))
    return [_queue(run), *attempts, *_nodes(run, attempts, steps, tasks), *(_job(job, attempts) for job in jobs)]


def tokens(tasks: Sequence[Task]) -> dict[str, int | None]:
    """The tokens of all models that told them; None if none did."""
    calls = [call for task in tasks for call in task.calls]
    return {
        "input": _sum([call.input_tokens for call in calls]),
        "output": _sum([call.output_tokens for call in calls]),
    }


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _queue(run: RunTimes) -> Span:
    if run.claims:
        return Span("queue", None, "queue", "queue", min(run.due_at, run.claims[0]), run.claims[0], "success")
    status = "interrupted" if run.status.is_ended else "running"
    return Span("queue", None, "queue", "queue", run.due_at, run.ended_at, status)


def _attempts(run: RunTimes, events: Sequence[EventCounts]) -> Iterator[Span]:
    """Claims beyond the first 99 have left only the last one."""
    last_events = {each.attempt: each.last_at for each in events}
    for index, claimed_at in enumerate(run.claims):
        is_last = index == len(run.claims) - 1
        number = run.attempt if is_last else index + 1
        if is_last and run.status is not RunStatus.PENDING:
            ended_at, status, detail = run.ended_at, _ATTEMPT_STATUS.get(run.status, "running"), {}
        else:
            ended_at, status, detail = last_events.get(number), "error", {"is_lost": True}
        yield Span(f"attempt-{number}", None, "attempt", f"attempt {number}", claimed_at, ended_at, status, detail)


def _nodes(run: RunTimes, attempts: Sequence[Span], steps: Sequence[Step], tasks: Sequence[Task]) -> Iterator[Span]:
    known = {step.checkpoint_id: step for step in steps}
    begun = {each.id: each.started_at for each in attempts}
    for step in steps:
        parent = known.get(step.parent_checkpoint_id or "")
        attempt = f"attempt-{step.attempt}"
        started_at = begun.get(attempt, run.due_at) if parent is None else parent.at
        for task in tasks:
            if task.checkpoint_id == step.parent_checkpoint_id:
                yield from _task(task, step.step, attempt, started_at, step.at, is_done=task.has_results)
    parents = {step.parent_checkpoint_id for step in steps}
    for step in steps:
        if step.checkpoint_id not in parents:  # tasks that failed, asked, or belong to a step under way
            for task in tasks:
                if task.checkpoint_id == step.checkpoint_id:
                    yield from _task(task, step.step + 1, f"attempt-{step.attempt}", step.at, run.ended_at)


def _task(
    task: Task, step: int, attempt: str, started_at: datetime, ended_at: datetime | None, *, is_done: bool = False
) -> Iterator[Span]:
    if task.node == _START:
        return
    status = "success" if is_done else _open_status(task)
    span = Span(f"task-{task.task_id}", attempt, "node", task.node, started_at, ended_at, status, {"step": step})
    yield span
    if status != "success":
        return
    for index, call in enumerate(task.calls):
        detail = {"step": step, **call.detail}
        if call.kind == "model":
            detail["tokens"] = {"input": call.input_tokens, "output": call.output_tokens}
        result = "error" if call.is_error else "success"
        yield Span(f"{span.id}-{index}", span.id, call.kind, call.name, started_at, ended_at, result, detail)


def _open_status(task: Task) -> str:
    return "error" if task.has_failed else "interrupted" if task.has_interrupted else "success"


def _job(job: Job, attempts: Sequence[Span]) -> Span:
    parent = next((each.id for each in reversed(attempts) if each.started_at <= job.created_at), None)
    detail = {
        "job_id": str(job.id),
        "state": job.state,
        "attempt": job.attempt,
        "registration_id": None if job.registration_id is None else str(job.registration_id),
        "instance_id": job.instance_id,
        "accepted_at": None if job.accepted_at is None else job.accepted_at.isoformat(),
    }
    status = _JOB_STATUS.get(job.state, "running")
    return Span(f"job-{job.id}", parent, "job", job.agent_id, job.created_at, job.ended_at, status, detail)
