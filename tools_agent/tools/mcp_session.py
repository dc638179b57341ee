"""A session with an MCP server, shared by many runs.

Rules
- One task owns a session: it enters and leaves the SDK's scopes, which belong to the task that entered them.
- Every wait on a session also waits for its owner. Otherwise, when the connection dies, the SDK lets callers wait for
  their whole timeout (3 s instead of 10 ms).
- A caller that gives up (cancelled, timed out) leaves the session usable, and the server is told to stop the call. A
  request that was sent is never cancelled: the SDK closes a cancelled request's stream. If the answer arrives at that
  moment, it ends the session with all other calls (mcp 1.x, `_handle_response`). The request stays in flight until its
  answer or the end of the session.
- A server that is killed during a call leaves its event stream silent, so a session with callers is pinged. Silence
  means that the server is busy; a refused connection or an unknown session ends the calls.
- The owner runs in an empty context: a session outlives the run that opened it and must not keep that run's variables.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from mcp import ClientSession
from mcp.shared.exceptions import McpError
from mcp.types import (
    CallToolRequest,
    CallToolRequestParams,
    CancelledNotification,
    CancelledNotificationParams,
    ClientNotification,
    ClientRequest,
    ListToolsRequest,
    PaginatedRequestParams,
    RequestParams,
)
from pydantic import RootModel

from tools_agent.errors import ServerUnavailable, SessionLost, ToolTimedOut
from tools_agent.limits import Limits
from tools_agent.plain_values import json_text

from .mcp_failures import reason, tool_error

T = TypeVar("T")
OpenSession = Callable[[], AbstractAsyncContextManager[ClientSession]]

MAX_LIST_PAGES = 100
ABANDON_FACTOR = 10
"""A call that its caller has given up is abandoned after this many times its timeout."""

OWNER_GRACE = 0.5
"""Seconds that a waiter adds to the owner's deadline, so that the owner's error is the one that is raised."""


class PooledSession:
    """Opens at once, in its own task. `alive` until it fails, is closed or has been idle for too long."""

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
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._pinging: asyncio.Task[Any] | None = None
        self._owner = loop.create_task(self._run(open_session), name="mcp-session", context=Context())
        self._owner.add_done_callback(self._on_owner_done)

    @property
    def alive(self) -> bool:
        return not (self._owner.done() or self._retired.is_set())

    async def list_tools(self) -> list[Any]:
        """Read all pages, and return the tools as the server describes them.

        Raises ServerUnavailable, and SessionLost when an open session turns out to be dead.
        """
        try:
            async with self._using() as session:
                return await self._race(_all_tools(session, self._limits), self._limits.connect)
        except TimeoutError:
            raise ServerUnavailable(f"it did not list its tools within {self._limits.connect:g} s") from None
        except McpError as error:
            if isinstance(translated := tool_error(error), SessionLost):
                raise translated from error
            raise ServerUnavailable(f"it does not list its tools: {translated}") from error

    async def call(
        self, name: str, arguments: dict[str, Any], context: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any]:
        """Call a tool, and return the server's result as it is. One with `isError` is returned, not raised.

        `context`: what the call has in `_meta`.

        Raises ServerUnavailable (never connected), SessionGone (nothing ran), SessionLost, ToolTimedOut,
        InteractionRequired, AnswerUnreadable, ToolFailed.
        """
        async with self._slots, self._using() as session:
            call = _Call(session)
            try:
                return await self._race(call.run(name, arguments, context, self._limits.read), self._limits.read)
            except asyncio.CancelledError:
                self._notify_cancelled(call)
                raise
            except TimeoutError:
                self._notify_cancelled(call)
                raise ToolTimedOut(f"no answer within {self._limits.read:g} s") from None
            except McpError as error:
                raise tool_error(error) from error

    async def close(self) -> None:
        """End the session in order within the limit, else cancel it."""
        self.retire()
        if not self._ready.done():
            self._owner.cancel()
        await asyncio.wait({self._owner}, timeout=self._limits.close)
        if not self._owner.done():
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=self._limits.close)

    def retire(self) -> None:
        """Accept no new callers; end when the last one has its answer."""
        self._retired.set()

    async def _run(self, open_session: OpenSession) -> None:
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
        """Raises SessionGone. A dead connection ends the owner without a ping."""
        if self._pinging is None:
            self._pinging = self._start(session.send_ping())
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
            yield await self._wait_until_open()
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()
            self._used = asyncio.get_running_loop().time()

    async def _wait_until_open(self) -> ClientSession:
        if not self._ready.done():
            either: set[asyncio.Future[Any]] = {self._ready, self._owner}
            await asyncio.wait(either, timeout=self._limits.connect + OWNER_GRACE, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if not self._owner.done():
            self._owner.cancel()  # closing the session of a server that hangs may hang as well
            raise ServerUnavailable(self._too_slow())
        error = None if self._owner.cancelled() else self._owner.exception()
        raise ServerUnavailable(self._too_slow() if isinstance(error, TimeoutError) else reason(error)) from error

    def _too_slow(self) -> str:
        return f"it did not answer within {self._limits.connect:g} s"

    async def _race(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run `work` until the session ends. Raises SessionLost, TimeoutError, and what `work` raises."""
        task = self._start(work)
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

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start `work`, which stays in flight until it is answered or the session ends."""
        task = asyncio.create_task(work)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        task.add_done_callback(_retrieve_exception)
        return task

    def _on_owner_done(self, owner: asyncio.Task[None]) -> None:
        _retrieve_exception(owner)
        for task in self._in_flight:
            task.cancel()

    def _notify_cancelled(self, call: _Call) -> None:
        """Tell the server in the background that the caller has gone. The SDK does not."""
        if call.number is not None and not self._owner.done():
            self._start(_cancel_request(call.session, call.number, self._limits.close))


class _Call:
    """A tool call. `number`: the id of its request, once it is in flight."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.number: int | None = None

    async def run(
        self, name: str, arguments: dict[str, Any], context: Mapping[str, str], seconds: float
    ) -> dict[str, Any]:
        meta = RequestParams.Meta.model_validate(context) if context else None
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments, _meta=meta))
        self.number = self.session._request_id  # noqa: SLF001  the SDK does not return the id that it uses
        # The long timeout only keeps a session that is used for months from collecting calls without an answer.
        abandoned = timedelta(seconds=ABANDON_FACTOR * seconds)
        return (await self.session.send_request(ClientRequest(request), _Result, abandoned)).root


class _Result(RootModel[dict[str, Any]]):
    """A result as the server sent it. The SDK's own types refuse a whole list or result because of one part."""


async def _all_tools(session: ClientSession, limits: Limits) -> list[Any]:
    tools: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_LIST_PAGES):
        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        page = (await session.send_request(ClientRequest(ListToolsRequest(params=params)), _Result)).root
        listed, cursor = page.get("tools"), page.get("nextCursor")
        if not isinstance(listed, list):
            raise ServerUnavailable("it does not list its tools: its answer has no list `tools`")
        tools.extend(listed)
        _check_size(tools, limits)
        if not (cursor and isinstance(cursor, str)):
            return tools
    raise ServerUnavailable(f"its list of tools does not end within {MAX_LIST_PAGES} pages")


def _check_size(tools: list[Any], limits: Limits) -> None:
    """Raises ServerUnavailable. The pages of a list count together."""
    if len(tools) > limits.tools:
        raise ServerUnavailable(f"it offers more than {limits.tools} tools (AGENTHALL_MCP_MAX_TOOLS)")
    if sum(len(json_text(tool)) for tool in tools) > limits.answer_bytes:
        raise ServerUnavailable(
            f"its list of tools is larger than {limits.answer_bytes} bytes (AGENTHALL_MCP_MAX_BYTES)"
        )


async def _cancel_request(session: ClientSession, request: int, seconds: float) -> None:
    note = CancelledNotification(params=CancelledNotificationParams(requestId=request, reason="the caller has gone"))
    with suppress(Exception):  # best effort: after the end of the session it is not needed
        async with asyncio.timeout(seconds):
            await session.send_notification(ClientNotification(note))


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception, so that asyncio does not log "never retrieved"."""
    if not task.cancelled():
        task.exception()
