"""Handlers of jobs, and how each kind is run.

    async generator     its items are emitted: tokens, or events as (name, data)
    coroutine function  its return value is the result
    generator           as an async generator, in a thread
    function            as a coroutine function, in a thread
    compiled graph      see langgraph_handler.py

In a thread the handler gets a job whose methods block (`jobs/threads.py`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import copy_context
from typing import Any

from .job import Job
from .threads import ThreadJob

Handler = Any
"""A graph, or a callable that takes the job."""

Run = Callable[[Job], Awaitable[None]]


def run_with(handler: Handler, slots: int) -> Run:
    """Raises TypeError for what cannot handle jobs."""
    if hasattr(handler, "astream") and hasattr(handler, "get_graph"):
        from .langgraph_handler import run_graph

        return run_graph(handler)
    if not callable(handler):
        raise TypeError(f"{handler!r} cannot handle jobs: it must be a function, a generator or a compiled graph.")
    if _is(inspect.isasyncgenfunction, handler):
        return _emit_all(handler)
    if _is(inspect.iscoroutinefunction, handler):
        return _await_result(handler)
    return _run_in_thread(handler, ThreadPoolExecutor(slots, thread_name_prefix="agenthall.job"))


def _is(test: Callable[[Any], bool], handler: Any) -> bool:
    """Also of an object whose class defines `__call__`."""
    return test(handler) or test(getattr(handler, "__call__", None))  # noqa: B004


def _emit_all(handler: Handler) -> Run:
    async def run(job: Job) -> None:
        async with aclosing(handler(job)) as events:
            async for event in events:
                await job.emit(event)

    return run


def _await_result(handler: Handler) -> Run:
    async def run(job: Job) -> None:
        _set_result(job, await handler(job))

    return run


def _run_in_thread(handler: Handler, threads: ThreadPoolExecutor) -> Run:
    is_generator = _is(inspect.isgeneratorfunction, handler)

    def work(job: ThreadJob) -> Any:
        if not is_generator:
            return handler(job)
        for event in handler(job):
            job.emit(event)
        return None

    async def run(job: Job) -> None:
        loop = asyncio.get_running_loop()
        blocking = ThreadJob(job, loop)
        _set_result(job, await loop.run_in_executor(threads, copy_context().run, work, blocking))

    return run


def _set_result(job: Job, returned: Any) -> None:
    """Keep the result that the handler set, unless it returned one."""
    if returned is not None:
        job.result = returned
