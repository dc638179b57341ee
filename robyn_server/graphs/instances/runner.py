"""The seams between the graph `instances` and the engine of jobs and traces, which a worker sets when it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from robyn_server.core.errors import Unavailable
from robyn_server.core.registry.jobs import FollowedJob, NewJob
from robyn_server.core.trace_context import TraceContext

ReadTrace = Callable[[], TraceContext | None]


class JobRunner(Protocol):
    def follow(self, job: NewJob) -> AsyncIterator[FollowedJob]:
        """Start the job, unless it exists, and yield it whenever it changes. The last one has ended."""


_runner: JobRunner | None = None
_read_trace: ReadTrace | None = None


def set_job_runner(runner: JobRunner | None) -> None:
    """For the whole process. None: no jobs can be made, as in a process that only reads states."""
    global _runner  # noqa: PLW0603 - one for the process
    _runner = runner


def job_runner() -> JobRunner:
    """Raises Unavailable in a process that makes no jobs."""
    if _runner is None:
        raise Unavailable("This process gives no work to instances.")
    return _runner


def set_trace_reader(read: ReadTrace | None) -> None:
    """For the whole process. `read` returns the current span. None: traces are off."""
    global _read_trace  # noqa: PLW0603 - one for the process
    _read_trace = read


def trace_headers() -> dict[str, str]:
    """`traceparent` and `tracestate` of the current span. Empty where traces are off."""
    trace = None if _read_trace is None else _read_trace()
    return {} if trace is None else trace.headers
