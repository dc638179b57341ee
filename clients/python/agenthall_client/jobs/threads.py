"""A job for programs without asyncio: the same as Job, with methods that block."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from agenthall_client.errors import JobCancelled

from .job import Job
from .request import JobRequest

_T = TypeVar("_T")


class ThreadJob(JobRequest):
    """`with job:` accepts the job and ends it with the block, as `async with` does with a Job.

    A thread cannot be cancelled. `is_cancelled` says that the job is to stop. `emit` then raises JobCancelled or
    JobLost, and the block swallows both.
    """

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(**job.members())
        self._job = job
        self._loop = loop

    @property
    def result(self) -> Any:
        return self._job.result

    @result.setter
    def result(self, value: Any) -> None:
        self._job.result = value

    @property
    def is_cancelled(self) -> bool:
        return self._job.cancelled.is_set()

    def emit(self, event: str | tuple[str, Any]) -> None:
        """See Job.emit. Raises also JobCancelled."""
        self._wait(self._emit(event))

    async def _emit(self, event: str | tuple[str, Any]) -> None:
        if isinstance(self._job.stopped, JobCancelled):
            raise self._job.stopped
        await self._job.emit(event)

    def finish(self, result: Any = None) -> None:
        """See Job.finish."""
        self._wait(self._job.finish(result))

    def fail(self, error: BaseException) -> None:
        """See Job.fail."""
        self._wait(self._job.fail(error))

    def interrupt(self, values: Sequence[Any], ids: Sequence[str] | None = None) -> None:
        """See Job.interrupt."""
        self._wait(self._job.interrupt(values, ids))

    def reject(self, reason: str) -> None:
        """See Job.reject."""
        self._wait(self._job.reject(reason))

    def __enter__(self) -> Self:
        self._wait(self._job.begin())
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        return self._wait(self._job.complete(error))

    def _wait(self, step: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result()
