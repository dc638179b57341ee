"""The run of each task. A watchdog in another thread asks for the run of the task that holds the event loop.

Before Python 3.12 a task's context cannot be read from outside, so a task factory notes the run of the context that a
task starts in.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from robyn_server.core.runs import ClaimedRun

_current: ContextVar[ClaimedRun | None] = ContextVar("current_run", default=None)
_runs: WeakKeyDictionary[asyncio.Task[Any], ClaimedRun] = WeakKeyDictionary()


def create_run_task(run: ClaimedRun, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task of `run`. The tasks that it starts belong to the run, too."""
    context = contextvars.copy_context()
    context.run(_current.set, run)
    return asyncio.get_running_loop().create_task(work, name=f"run {run.run_id}", context=context)


def task_factory(
    loop: asyncio.AbstractEventLoop,
    work: Any,
    *,
    context: contextvars.Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """Create a task, as the loop would, and note its run."""
    task = asyncio.Task(work, loop=loop, context=context, **options)
    run = _current.get() if context is None else context.get(_current)
    if run is not None:
        _runs[task] = run
    return task


def run_of(task: asyncio.Task[Any] | None) -> ClaimedRun | None:
    return None if task is None else _runs.get(task)
