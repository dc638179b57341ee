"""A job that the program works on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from agenthall_client.cancel_scope import CancelScope
from agenthall_client.errors import ClientError, JobCancelled

from . import ends
from .ends import JobEnd
from .messenger import JobMessenger
from .reporter import JobReporter
from .request import JobRequest, parse_offer

_log = logging.getLogger("agenthall_client")


class Job(JobRequest):
    """`async with job:` accepts the job, and ends it with the block.

    An exception becomes the error of the job. Otherwise `result` is the result: a state update, a text (the answer), or
    None: then the tokens are the answer. When the job is cancelled or lost, the block is cancelled, and the program
    goes on behind it.

    `cancelled`: set when the job is to stop.
    """

    def __init__(self, offer: Mapping[str, Any], messenger: JobMessenger, has_taker: Callable[[], bool]) -> None:
        super().__init__(**parse_offer(offer))
        self.result: Any = None
        self.cancelled = asyncio.Event()
        self.reporter = JobReporter(self, messenger, has_taker, self._stop)
        self._body = CancelScope()
        self.stopped: ClientError | None = None
        """Why the job is to stop."""

    def _stop(self, error: ClientError) -> None:
        self.stopped = self.stopped or error
        self.cancelled.set()
        self._body.cancel(error)

    async def emit(self, event: str | tuple[str, Any]) -> None:
        """Report a token (a string), or an event: `("custom", {"done": 3})`. Waits while too much is unacknowledged.

        Events: token, messages, values, updates, custom. Raises ValueError, TypeError, Refused, JobLost, Closed.
        """
        name, data = ("token", event) if isinstance(event, str) else event
        await self.reporter.emit(name, data)

    async def finish(self, result: Any = None) -> None:
        """End the job with a result, and wait until the server knows. Raises JobLost, Closed."""
        await self._end(ends.result(result))

    async def fail(self, error: BaseException) -> None:
        """End the job with an error, and wait until the server knows. Raises JobLost, Closed."""
        await self._end(ends.exception(error))

    async def interrupt(self, values: Sequence[Any], ids: Sequence[str] | None = None) -> None:
        """End the job with questions. The answer comes as another job of the thread, in `resume`.

        Raises ValueError, JobLost, Closed.
        """
        await self._end(ends.interrupts(values, ids))

    async def reject(self, reason: str) -> None:
        """Give the job to another instance. A job that has begun is handed back, and retried if its policy allows.

        Raises JobLost, Closed.
        """
        await self._end(ends.handed_back(reason))

    async def _end(self, end: JobEnd) -> None:
        self.reporter.finish(end)
        await self.reporter.ended.wait()

    async def __aenter__(self) -> Self:
        await self.begin()
        self._body.enter()
        if self.stopped is not None:  # since the offer
            self._body.cancel(self.stopped)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        stopped = await self._body.exit(error)
        return await self.complete(error, is_cancelled_here=stopped is not None)

    async def begin(self) -> None:
        """Accept the job, and wait until the server knows or the job is lost."""
        self.reporter.begin()
        try:
            await self.reporter.accepted.wait()
        except BaseException:
            if self.reporter.is_open:
                self.reporter.finish(ends.handed_back("the instance stopped"))
            raise

    async def complete(self, error: BaseException | None, *, is_cancelled_here: bool = False) -> bool:
        """End the job as its block ended, and return whether `error` is dealt with.

        `is_cancelled_here`: the block was cancelled because the job was.
        """
        is_handled = is_cancelled_here or error is None or isinstance(error, Exception)
        if self.reporter.is_open:
            self.reporter.finish(self._end_of_block(error, is_handled=is_handled))
        if is_handled:
            await self.reporter.ended.wait()
        return is_handled

    def _end_of_block(self, error: BaseException | None, *, is_handled: bool) -> JobEnd:
        if not is_handled:
            return ends.handed_back(f"the instance stopped: {type(error).__name__}")
        if isinstance(self.stopped, JobCancelled):
            return ends.cancelled()
        if error is None:
            return ends.result(self.result)
        _log.error("job %s failed", self.job_id, exc_info=error)
        return ends.exception(error)
