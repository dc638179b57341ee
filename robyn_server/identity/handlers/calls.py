"""Calls handlers of a project: on an event loop of their own thread, each under a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from robyn_server.concurrency.thread_loop import ThreadLoop
from robyn_server.core.errors import (
    AgenthallError,
    Forbidden,
    Misconfigured,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from robyn_server.graphs.tracebacks import own_traceback

HANDLER_SECONDS = 5.0
"""The longest that a handler may take. Less than a request may."""
_THREADS = 16
"""Synchronous handlers that run at once. Others wait."""
_STOP_SECONDS = 1.0
_LOWEST, _HIGHEST = 400, 599

_log = structlog.get_logger(__name__)


class HandlerCalls:
    """Call `start` before use and `stop` after."""

    def __init__(self, seconds: float = HANDLER_SECONDS) -> None:
        self._seconds = seconds
        self._loop = ThreadLoop("auth handlers")
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="auth handler")

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(TimeoutError):  # a handler that holds the thread ends with the process
            async with asyncio.timeout(_STOP_SECONDS):
                await self._loop.stop()

    async def call(self, handler: Callable[..., Any], **arguments: Any) -> Any:
        """Return what the handler returns.

        Raises the error that its HTTPException stands for (Unauthenticated, Forbidden, NotFound, Refused), Unavailable
        when it takes too long, and Misconfigured for any other exception, which is logged.
        """
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                return await self._loop.run(self._invoke(handler, arguments))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise failed(handler, error) from None  # the handler raised it
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            if deadline.expired():
                raise _overdue(handler, self._seconds) from None
            raise (_refusal(error) or failed(handler, error)) from None

    async def _invoke(self, handler: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        try:
            return await self._result(handler, arguments)
        except (SystemExit, KeyboardInterrupt) as error:  # would end the thread's loop
            raise RuntimeError(f"the handler raised {error!r}") from error

    async def _result(self, handler: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
            return await handler(**arguments)
        work = functools.partial(handler, **arguments)
        made = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        return await made if inspect.isawaitable(made) else made


def failed(handler: Callable[..., Any], error: BaseException) -> Misconfigured:
    """Log a fault of a handler, with the project's frames.

    Return the error for the client, which learns nothing of it.
    """
    name = getattr(handler, "__qualname__", repr(handler))
    _log.error("auth handler failed", handler=name, error=repr(error), traceback=own_traceback(error))
    return Misconfigured(
        "The project's auth handler failed. The server's log has the reason.", code="auth_handler_failed"
    )


def _overdue(handler: Callable[..., Any], seconds: float) -> Unavailable:
    name = getattr(handler, "__qualname__", repr(handler))
    _log.error("auth handler is overdue", handler=name, seconds=seconds)
    return Unavailable(
        f"The project's auth handler did not answer within {seconds:g} s. Try again.", code="auth_handler_overdue"
    )


def _refusal(error: Exception) -> AgenthallError | None:
    """The refusal that an HTTPException of LangGraph's SDK, or of Starlette, stands for; None for another exception."""
    status, detail = getattr(error, "status_code", None), getattr(error, "detail", None)
    is_answer = type(error).__name__ == "HTTPException" and isinstance(status, int) and _LOWEST <= status <= _HIGHEST
    if not is_answer or not isinstance(status, int):
        return None
    headers = tuple((str(name), str(value)) for name, value in (getattr(error, "headers", None) or {}).items())
    text = detail if isinstance(detail, str) else str(detail)
    kinds: dict[int, type[AgenthallError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound}
    kind = kinds.get(status)
    if kind is None or headers:
        return Refused(text, status=status, headers=headers)
    return kind(text, code=Refused.code)
