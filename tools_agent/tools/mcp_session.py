"""One session with one MCP server, shared by many runs.

Rules
- One task owns a session: it enters and leaves the SDK's scopes (they belong to the task that entered them).
- Every wait on a session is a race against its owner: when the connection dies the SDK leaves callers waiting for
  their whole timeout (3 s against 10 ms).
- A caller that gives up (cancelled, timed out) leaves the session usable, and the server is told to stop the call.
- A server that was killed in the middle of a call leaves its event stream silent. So a session with callers is pinged;
  silence is busyness, but a refused connection or a forgotten session ends the calls.
- The owner runs in an empty context: a session outlives the run that opened it and must not carry that run's variables.
"""

from __future__ import annotations

import asyncio
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
        self._farewells: set[asyncio.Task[None]] = set()
        self._owner = loop.create_task(self._own(open_session), name="mcp-session", context=Context())
        self._owner.add_done_callback(_look_at)

    @property
    def alive(self) -> bool:
        return not (self._owner.done() or self._retired.is_set())

    async def list_tools(self) -> list[Tool]:
        """All pages. Raises ServerUnavailable, and SessionLost when an open session turned out to be dead."""
        try:
            async with self._using() as session, asyncio.timeout(self._limits.connect):
                return await self._race(_all_tools(session))
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
            try:
                return await self._race(self._call(session, name, arguments))
            except McpError as error:
                raise self._named(tool_error(error)) from error

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
        try:
            async with asyncio.timeout(self._limits.ping):
                await session.send_ping()
        except TimeoutError:
            return
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

    async def _race(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task, self._owner}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            error = None if self._owner.cancelled() else self._owner.exception()
            raise SessionLost(reason(error)) from error
        finally:
            task.add_done_callback(_look_at)
            task.cancel()

    async def _call(self, session: ClientSession, name: str, arguments: dict[str, Any]) -> CallToolResult:
        request = session._request_id  # noqa: SLF001  the number that call_tool takes next; the SDK tells it to nobody
        try:
            return await session.call_tool(name, arguments, timedelta(seconds=self._limits.read))
        except asyncio.CancelledError:
            self._say_cancelled(session, request)
            raise
        except McpError as error:
            if isinstance(tool_error(error), ToolTimedOut):
                self._say_cancelled(session, request)
            raise

    def _say_cancelled(self, session: ClientSession, request: int) -> None:
        """Tell the server (the SDK does not). Behind the caller's back, who has gone."""
        if self._owner.done():
            return
        farewell = asyncio.create_task(_cancel_request(session, request, self._limits.close), context=Context())
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    def _named(self, error: Any) -> Any:
        if isinstance(error, ToolTimedOut):
            return ToolTimedOut(f"no answer within {self._limits.read:g} s")
        return error


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
