"""Spans of a run, derived from its records: waits, attempts, tasks with their calls, and jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from robyn_server.core.run_timeline import Call, EventCounts, Job, RunTimes, Span, Step, Task, spans, tokens
from robyn_server.core.runs import RunStatus

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def times(status: RunStatus = RunStatus.SUCCESS, *claims: float, ended: float | None = 9, attempt: int = 1) -> RunTimes:
    return RunTimes(status, attempt, NOON, [at(each) for each in claims], None if ended is None else at(ended))


def seconds(span: Span) -> tuple[float, float | None]:
    end = None if span.ended_at is None else (span.ended_at - NOON).total_seconds()
    return (span.started_at - NOON).total_seconds(), end


def of_kind(kind: str, run: RunTimes, **records: Any) -> list[Span]:
    given = {"events": (), "steps": (), "tasks": (), "jobs": ()} | records
    return [span for span in spans(run, **given) if span.kind == kind]


def test_a_run_waits_from_when_it_is_due_until_it_is_claimed() -> None:
    (span,) = of_kind("queue", times(RunStatus.SUCCESS, 2))
    assert (seconds(span), span.status) == ((0, 2), "success")


@pytest.mark.parametrize(
    ("status", "ended", "expected"),
    [(RunStatus.PENDING, None, "running"), (RunStatus.INTERRUPTED, 9, "interrupted")],
)
def test_a_run_that_never_began_has_a_wait_alone(status: RunStatus, ended: float | None, expected: str) -> None:
    (span,) = spans(times(status, ended=ended, attempt=0), (), (), (), ())
    assert (span.kind, seconds(span), span.status) == ("queue", (0, ended), expected)


def test_an_attempt_whose_worker_was_lost_ends_with_its_last_event() -> None:
    events = [EventCounts(1, 3, 30, at(4), False), EventCounts(2, 3, 30, at(9), True)]
    lost, last = of_kind("attempt", times(RunStatus.ERROR, 1, 6, attempt=2), events=events)
    assert (lost.id, seconds(lost), lost.status, lost.detail) == ("attempt-1", (1, 4), "error", {"is_lost": True})
    assert (last.id, seconds(last), last.status) == ("attempt-2", (6, 9), "error")


def test_a_lost_attempt_without_events_has_no_end() -> None:
    (lost,) = of_kind("attempt", times(RunStatus.PENDING, 1, ended=None))
    assert (seconds(lost), lost.status) == ((1, None), "error")


def test_a_running_run_has_an_open_attempt() -> None:
    (span,) = of_kind("attempt", times(RunStatus.RUNNING, 1, ended=None))
    assert (seconds(span), span.status) == ((1, None), "running")


STEPS = [Step("a", None, at(1), -1, 1), Step("b", "a", at(2), 0, 1), Step("c", "b", at(5), 1, 1)]


def test_the_tasks_of_a_step_have_its_times() -> None:
    tasks = [
        Task("a", "1", "__start__", False, False),
        Task("b", "2", "model", False, False),
        Task("b", "3", "side", False, False),
    ]
    first, second = of_kind("node", times(RunStatus.SUCCESS, 1), steps=STEPS, tasks=tasks)
    assert [(span.name, seconds(span), span.parent_id) for span in (first, second)] == [
        ("model", (2, 5), "attempt-1"),
        ("side", (2, 5), "attempt-1"),
    ]
    assert first.detail == {"step": 1}


def test_a_task_without_a_checkpoint_after_it_ends_with_the_run() -> None:
    failed = Task("c", "4", "tools", True, False)
    (span,) = of_kind("node", times(RunStatus.ERROR, 1), steps=STEPS, tasks=[failed])
    assert (span.name, seconds(span), span.status, span.detail) == ("tools", (5, 9), "error", {"step": 2})


def test_a_task_of_a_run_that_asks_is_interrupted() -> None:
    (span,) = of_kind("node", times(RunStatus.INTERRUPTED, 1), steps=STEPS, tasks=[Task("c", "4", "ask", False, True)])
    assert (span.name, span.status) == ("ask", "interrupted")


def test_a_run_that_resumes_begins_at_the_checkpoint_of_another_run() -> None:
    steps, tasks = [Step("z", "of another run", at(4), 3, 1)], [Task("of another run", "1", "ask", False, False)]
    (span,) = of_kind("node", times(RunStatus.SUCCESS, 2), steps=steps, tasks=tasks)
    assert seconds(span) == (2, 4)


def test_a_task_that_a_later_run_finished_was_not_done_in_this_one() -> None:
    call = Call("model", "gpt")
    asked = Task("c", "4", "ask", False, True, has_results=True, calls=[call])
    assert [span.status for span in of_kind("node", times(RunStatus.SUCCESS, 1), steps=STEPS, tasks=[asked])] == [
        "interrupted"
    ]
    assert of_kind("model", times(RunStatus.SUCCESS, 1), steps=STEPS, tasks=[asked]) == []
    resumed = [Step("d", "c", at(8), 2, 1)]
    (span,) = of_kind("node", times(RunStatus.SUCCESS, 7), steps=resumed, tasks=[asked])
    assert (span.status, seconds(span)) == ("success", (7, 8))


def test_calls_are_below_their_task_and_their_tokens_are_summed() -> None:
    model = Call("model", "gpt", False, 3, 4, {"tool_calls": ["search"]})
    tool = Call("tool", "search", True, detail={"tool_call_id": "1"})
    tasks = [Task("b", "2", "agent", False, False, calls=[model, tool])]
    found = spans(times(RunStatus.SUCCESS, 1), (), STEPS, tasks, ())
    assert [(span.kind, span.name, span.parent_id, span.status) for span in found[-2:]] == [
        ("model", "gpt", "task-2", "success"),
        ("tool", "search", "task-2", "error"),
    ]
    assert found[-2].detail == {"step": 1, "tool_calls": ["search"], "tokens": {"input": 3, "output": 4}}
    assert tokens(tasks) == {"input": 3, "output": 4}
    assert tokens([Task("b", "2", "agent", False, False, calls=[tool])]) == {"input": None, "output": None}


def test_a_job_is_below_the_attempt_that_made_it() -> None:
    job = Job(UUID(int=1), "bot", "failed", 2, UUID(int=2), "one", at(3), at(4), at(5))
    (span,) = of_kind("job", times(RunStatus.SUCCESS, 1), jobs=[job])
    assert (span.name, seconds(span), span.status, span.parent_id) == ("bot", (3, 5), "error", "attempt-1")
    assert span.detail["state"] == "failed"
