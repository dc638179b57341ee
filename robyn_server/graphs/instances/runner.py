"""The seam between the graph `instances` and the engine of jobs, which a worker sets when it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.jobs import FollowedJob, NewJob


class JobRunner(Protocol):
    def follow(self, job: NewJob) -> AsyncIterator[FollowedJob]:
        """Start the job, unless it exists, and yield it whenever it changes. The last one has ended."""


_runner: JobRunner | None = None


def set_job_runner(runner: JobRunner | None) -> None:
    """For the whole process. None: no jobs can be made, as in a process that only reads states."""
    global _runner  # noqa: PLW0603 - one for the process
    _runner = runner


def job_runner() -> JobRunner:
    """Raises Unavailable in a process that makes no jobs."""
    if _runner is None:
        raise Unavailable("This process gives no work to instances.")
    return _runner
