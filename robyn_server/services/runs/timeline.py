"""The timeline of a run: what it waited for, its attempts, nodes, model and tool calls, and jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from robyn_server.core.access.principal import Principal
from robyn_server.core.errors import NotFound
from robyn_server.core.run_timeline import EventCounts, RunTimes, Task, spans, tokens
from robyn_server.core.run_timeline import Step as RunStep
from robyn_server.core.runs import EventTransport
from robyn_server.graphs.recorded_tasks import read_tasks
from robyn_server.storage.runs.search import RunRecord, RunSearch
from robyn_server.storage.runs.timeline import RunTimelines


class RunTimelineService:
    def __init__(self, search: RunSearch, timelines: RunTimelines) -> None:
        self._search = search
        self._timelines = timelines

    async def get(self, principal: Principal, thread_id: UUID, run_id: UUID) -> Mapping[str, Any]:
        """Return the run, its spans, and what is left of its events. Raises NotFound."""
        run = await self._search.find(principal, thread_id, run_id)
        if run is None:
            raise NotFound("Run not found")
        events, jobs = await self._timelines.count_events(run_id), await self._timelines.list_jobs(run_id)
        steps, tasks = await self._tasks(thread_id, run_id, run)
        times = RunTimes(run.status, run.attempt, run.due_at, run.claims, run.ended_at)
        body = orjson.Fragment(run.body)
        return {
            "run": body,
            "trace_id": None if run.traceparent is None else run.traceparent.split("-")[1],
            "spans": [span.to_json() for span in spans(times, events, steps, tasks, jobs)],
            **_events(run, events),
            "tokens": tokens(tasks),
            "error": _error(run),
        }

    async def _tasks(self, thread_id: UUID, run_id: UUID, run: RunRecord) -> tuple[Sequence[RunStep], Sequence[Task]]:
        """Nothing for a run that has not begun."""
        if not run.claims:
            return [], []
        until = run.ended_at or datetime.now(UTC)
        steps = await self._timelines.list_steps(thread_id, run_id, run.claims[0], until)
        parents = {step.checkpoint_id: step.parent_checkpoint_id for step in steps}
        wanted = parents.keys() | {parent for parent in parents.values() if parent}
        writes = await self._timelines.list_writes(thread_id, sorted(wanted))
        return steps, await asyncio.to_thread(read_tasks, writes, parents)


def _events(run: RunRecord, events: Sequence[EventCounts]) -> dict[str, Any]:
    is_expired = run.status.is_ended and not any(each.is_closed for each in events)
    is_known = not is_expired and run.event_transport is EventTransport.POSTGRES
    return {
        "events": {
            "count": sum(each.events for each in events) if is_known else None,
            "bytes": sum(each.bytes for each in events) if is_known else None,
        },
        "events_expired": is_expired,
    }


def _error(run: RunRecord) -> dict[str, Any] | None:
    error = orjson.loads(run.body)["error"]
    return None if error is None else {**error, "frames": list(run.frames)}
