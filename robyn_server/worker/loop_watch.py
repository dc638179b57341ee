"""Finds the task that holds the event loop. Called from a thread of its own.

Rules
  1. The watch asks the loop for an answer. While there is none, one step of one task holds the loop, or several steps
     in a row.
  2. The time of a step counts from the first look that saw it. Time in which the watch itself did not run does not
     count: the process was paused, or another thread kept the interpreter's lock.
  3. A step that takes BLOCKED_SECONDS is logged with its run and its stack, and again when it has ended. After
     `stall_seconds` the loop counts as stalled, which is reported once.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from robyn_server.core.runs import ClaimedRun

from .run_tasks import run_of

INTERVAL = 0.2
BLOCKED_SECONDS = 1.0
_STACK_DEPTH = 12
_log = structlog.get_logger(__name__)

OnStalled = Callable[[ClaimedRun | None], Awaitable[None]]
"""Called with the run whose step holds the loop; None for a step of no run."""


class LoopWatch:
    """Watches the loop of the thread that makes it. `check` is called every INTERVAL seconds from another thread."""

    def __init__(self, stall_seconds: float, on_stalled: OnStalled) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._stall_seconds = stall_seconds
        self._on_stalled = on_stalled
        self._is_answered = True
        self._task: asyncio.Task[Any] | None = None
        self._held = 0.0
        self._is_reported = False
        self._checked_at = time.monotonic()

    async def check(self) -> None:
        now = time.monotonic()
        elapsed, self._checked_at = min(now - self._checked_at, 2 * INTERVAL), now
        task = None if self._is_answered else asyncio.current_task(self._loop)
        if self._is_answered or task is not self._task:
            self._begin(task)
            return
        self._held += elapsed
        if self._held >= BLOCKED_SECONDS and not self._is_reported:
            self._report()
        if self._held >= self._stall_seconds:
            await self._on_stalled(run_of(task))

    def _begin(self, task: asyncio.Task[Any] | None) -> None:
        """Watch the next step: `task`'s, or whichever comes when the loop has answered."""
        if self._is_reported:
            _log.warning("the event loop is free again", seconds=round(self._held, 1), **_names(run_of(self._task)))
        self._task, self._held, self._is_reported = task, 0.0, False
        if self._is_answered:
            self._is_answered = False
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._is_answered = True

    def _report(self) -> None:
        self._is_reported = True
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the documented way to read another thread's stack
        stack = "".join(traceback.format_stack(frame)[-_STACK_DEPTH:])
        _log.warning(
            "the event loop is blocked",
            seconds=round(self._held, 1),
            **_names(run_of(self._task)),
            stack=stack,
        )


def _names(run: ClaimedRun | None) -> dict[str, Any]:
    return {"run_id": None} if run is None else {"run_id": str(run.run_id), "graph_id": run.graph_id}
