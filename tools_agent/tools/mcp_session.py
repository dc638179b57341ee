"""One session with one MCP server, shared by many runs.

Rules
- One task owns a session: it enters and leaves the SDK's scopes (they belong to the task that entered them).
- Every wait on a session is a race against its owner: when the connection dies the SDK leaves callers waiting for
  their whole timeout (3 s against 10 ms).
- A caller that gives up (cancelled, timed out) leaves the session usable, and the server is told to stop the call. What was sent is never
  cancelled here: the SDK closes a cancelled request's stream, and ends the session, with all that others wait for, when the answer
  arrives at that moment (mcp 1.x, `_handle_response`). It is left to its answer, or to the session's end.
- A server that was killed in the middle of a call leaves its event stream silent. So a session with callers is pinged;
  silence is busyness, but a refused connection or a forgotten session ends the calls.
- The owner runs in an empty context: a session outlives the run that opened it and must not carry that run's variables.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

from mcp import ClientSession
from mcp.shared.exceptions import McpError
from mcp.types import (
    CallToolResult,
    CancelledNotification,
    CancelledNotificationParams,
    ClientNotification,
    PaginatedRequestParams,
    Tool,
)

from tools_agent.errors import ServerUnavailable, SessionLost, ToolTimedOut
from tools_agent.limits import Limits

from .mcp_failures import reason, tool_error

T = TypeVar("T")
OpenSession = Callable[[], AbstractAsyncContextManager[ClientSession]]

LONGEST_LIST_PAGES = 100
FORGOTTEN = 10
"""Times its timeout, after which a call that was given up is not waited for any more."""

GRACE = 0.5
"""Seconds by which a waiter outlasts the owner's own deadline, so that the owner's words are the ones told."""


class PooledSession:
    """Opens at once, in a task of its own. `alive` until it fails, is closed or was idle for too long."""

    def __init__(self, open_session: OpenSession, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.calls_in_flight)
        self._ready: asyncio.Future[ClientSession] = loop.create_future()
        self._retired = asyncio.Event()
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._used = loop.time()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._pinging: asyncio.Task[Any] | None = None
        self._owner = loop.create_task(self._own(open_session), name="mcp-session", context=Context())
        self._owner.add_done_callback(self._ended)

    @property
    def alive(self) -> bool:
        return not (self._owner.done() or self._retired.is_set())

    async def list_tools(self) -> list[Tool]:
        """All pages. Raises ServerUnavailable, and SessionLost when an open session turned out to be dead."""
        try:
            async with self._using() as session:
                return await self._race(_all_tools(session), self._limits.connect)
        except TimeoutError:
            raise ServerUnavailable(f"it did not list its tools within {self._limits.connect:g} s") from None
        except McpError as error:
            if isinstance(translated := tool_error(error), SessionLost):
                raise translated from error
            raise ServerUnavailable(f"it does not list its tools: {translated}") from error

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Raises ServerUnavailable (never connected), SessionGone (nothing ran), SessionLost, ToolTimedOut,
        InteractionRequired, ToolFailed. A result with `isError` is a result.
        """
        async with self._slots, self._using() as session:
            call = _Call(session)
            try:
                return await self._race(call.run(name, arguments, self._limits.read), self._limits.read)
            except asyncio.CancelledError:
                self._say_cancelled(call)
                raise
            except TimeoutError:
                self._say_cancelled(call)
                raise ToolTimedOut(f"no answer within {self._limits.read:g} s") from None
            except McpError as error:
                raise tool_error(error) from error

    async def close(self) -> None:
        """End politely within the limit, else at once."""
        self.retire()
        if not self._ready.done():
            self._owner.cancel()
        await asyncio.wait({self._owner}, timeout=self._limits.close)
        if not self._owner.done():
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=self._limits.close)

    def retire(self) -> None:
        """Take no new callers; end when the last one has its answer."""
        self._retired.set()

    async def _own(self, open_session: OpenSession) -> None:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._limits.connect):
                session = await stack.enter_async_context(open_session())
            self._ready.set_result(session)
            await self._until_unused(session)

    async def _until_unused(self, session: ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while not self._retired.is_set():
            left = self._used + self._limits.idle - loop.time()
            if left <= 0 and not self._users:
                return self._retired.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._retired.wait(), min(max(left, 0.05), self._limits.ping))
            if self._users and not self._retired.is_set():
                await self._ping(session)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._unused.wait(), self._limits.read)
        return None

    async def _ping(self, session: ClientSession) -> None:
        """Raises SessionGone. A dead connection ends the owner by itself."""
        if self._pinging is None:
            self._pinging = self._sent(session.send_ping())
        await asyncio.wait({self._pinging}, timeout=self._limits.ping)
        if not self._pinging.done():
            return
        answered, self._pinging = self._pinging, None
        try:
            answered.result()
        except McpError as error:
            if isinstance(lost := tool_error(error), SessionLost):
                raise lost from error

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[ClientSession]:
        self._users += 1
        self._unused.clear()
        try:
            yield await self._opened()
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()
            self._used = asyncio.get_running_loop().time()

    async def _opened(self) -> ClientSession:
        if not self._ready.done():
            either: set[asyncio.Future[Any]] = {self._ready, self._owner}
            await asyncio.wait(either, timeout=self._limits.connect + GRACE, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if not self._owner.done():
            self._owner.cancel()  # its farewell to a server that hangs may hang as well
            raise ServerUnavailable(self._too_slow())
        error = None if self._owner.cancelled() else self._owner.exception()
        raise ServerUnavailable(self._too_slow() if isinstance(error, TimeoutError) else reason(error)) from error

    def _too_slow(self) -> str:
        return f"it did not answer within {self._limits.connect:g} s"

    async def _race(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Raises what the work raises, SessionLost when the session ends first, TimeoutError."""
        task = self._sent(work)
        try:
            await asyncio.wait({task, self._owner}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                task.cancel()  # nothing was sent yet
            raise
        if task.done() and not task.cancelled():
            return task.result()
        if not self._owner.done():
            raise TimeoutError
        error = None if self._owner.cancelled() else self._owner.exception()
        raise SessionLost(reason(error)) from error

    def _sent(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """It is under way until it is answered, or the session ends."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(_look_at)
        return task

    def _ended(self, owner: asyncio.Task[None]) -> None:
        _look_at(owner)
        for task in self._under_way:
            task.cancel()

    def _say_cancelled(self, call: _Call) -> None:
        """Tell the server (the SDK does not). Behind the caller's back, who has gone."""
        if call.number is not None and not self._owner.done():
            self._sent(_cancel_request(call.session, call.number, self._limits.close))


class _Call:
    """One call of a tool. `number`: the request's, once it is under way."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.number: int | None = None

    async def run(self, name: str, arguments: dict[str, Any], seconds: float) -> CallToolResult:
        """Given up by itself long after its caller did, or a session in use for months would keep what is never answered."""
        self.number = self.session._request_id  # noqa: SLF001  that call_tool takes next; the SDK tells it to nobody
        return await self.session.call_tool(name, arguments, timedelta(seconds=FORGOTTEN * seconds))


async def _all_tools(session: ClientSession) -> list[Tool]:
    page = await session.list_tools()
    tools = list(page.tools)
    for _ in range(LONGEST_LIST_PAGES):
        if not page.nextCursor:
            return tools
        page = await session.list_tools(params=PaginatedRequestParams(cursor=page.nextCursor))
        tools.extend(page.tools)
    raise ServerUnavailable(f"its list of tools does not end within {LONGEST_LIST_PAGES} pages")


async def _cancel_request(session: ClientSession, request: int, seconds: float) -> None:
    note = CancelledNotification(params=CancelledNotificationParams(requestId=request, reason="the caller has gone"))
    with suppress(Exception):  # a courtesy: whatever ends the session meanwhile makes it needless
        async with asyncio.timeout(seconds):
            await session.send_notification(ClientNotification(note))


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take note of how the task ended, so that asyncio does not report its error a second time."""
    if not task.cancelled():
        task.exception()
