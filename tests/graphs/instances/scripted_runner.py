"""A JobRunner that answers each job from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from robyn_server.core.registry.jobs import FollowedJob, JobEvent, JobState, NewJob


def event(name: str, data: Any, seq: int = 1, attempt: int = 1) -> JobEvent:
    return JobEvent(attempt, seq, name, orjson.dumps(data).decode())


class ScriptedRunner:
    """`ends`: how each job ends, in their order. `events`: what each job streams before."""

    def __init__(
        self, ends: Sequence[Mapping[str, Any]], events: Sequence[Sequence[JobEvent]] = (), state: str = "succeeded"
    ) -> None:
        self.jobs: list[NewJob] = []
        self._ends = list(ends)
        self._events = list(events)
        self._state = JobState(state)

    async def follow(self, job: NewJob) -> AsyncIterator[FollowedJob]:
        self.jobs.append(job)
        events = self._events.pop(0) if self._events else ()
        yield FollowedJob(job.job_id, JobState.QUEUED, 1, None, ())
        yield FollowedJob(job.job_id, JobState.RUNNING, 1, "i1", events)
        yield FollowedJob(job.job_id, self._state, 1, "i1", (), **self._ends.pop(0))
