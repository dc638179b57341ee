"""MCP sessions and lists of tools of this process, by server and credentials.

Rules
- Two accesses that differ in URL or credentials share nothing.
- A tool call is repeated once, and only if the server no longer knew the session: then nothing ran.
- A list of tools is cached for its TTL. It is dropped when the server reports a change or its session is replaced.
- A server that failed is not tried again before a short pause.
- There is one pool for each event loop, because a session belongs to the loop that opened it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from mcp.types import ServerNotification, ToolListChangedNotification

from tools_agent.errors import ServerUnavailable, SessionGone, SessionLost
from tools_agent.limits import Limits, current_limits

from .call_context import call_context
from .mcp_access import ServerAccess
from .mcp_result_size import cut_result
from .mcp_session import OpenSession, PooledSession
from .mcp_tool_list import ToolList, tool_list

EVICTION_THRESHOLD = 64
"""From this many servers on, expired entries are removed whenever a server is added."""


@dataclass(slots=True)
class _Server:
    session: PooledSession | None = None
    tools: ToolList | None = None
    changes: int = 0
    failure: ServerUnavailable | None = None
    failed_until: float = 0.0
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_expired(self, now: float) -> bool:
        in_use = self.listing.locked() or (self.session is not None and self.session.alive)
        return not in_use and self.failed_until <= now and (self.tools is None or self.tools.fresh_until <= now)


class SessionPool:
    def __init__(self, limits: Limits | None = None) -> None:
        self._fixed_limits = limits
        self._servers: dict[ServerAccess, _Server] = {}

    @property
    def _limits(self) -> Limits:
        return self._fixed_limits or current_limits()

    async def tools(self, access: ServerAccess, open_session: OpenSession) -> ToolList:
        """Return the server's tools, from the cache if fresh. Raises ServerUnavailable."""
        server = self._server(access)
        if listed := self._fresh(server):
            return listed
        async with server.listing:
            return self._fresh(server) or await self._list(server, open_session)

    async def call(
        self, access: ServerAccess, open_session: OpenSession, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """Call a tool. Raises what PooledSession.call raises. A long result is cut."""
        result = await self._call(access, open_session, name, arguments)
        return cut_result(result, self._limits.result_characters)

    async def _call(
        self, access: ServerAccess, open_session: OpenSession, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        server, context = self._server(access), call_context(access.url)
        session = self._session(server, open_session)
        try:
            return await session.call(name, arguments, context)
        except SessionGone:
            self._drop(server, session)
        except (SessionLost, ServerUnavailable):
            self._drop(server, session)
            raise
        return await self._session(server, open_session).call(name, arguments, context)

    async def on_message(self, access: ServerAccess, message: object) -> None:
        """Handle a notification of the server: drop its list of tools when they have changed."""
        if isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
            self._forget_tools(self._server(access))

    async def close(self) -> None:
        """Close every session. The pool can be used again afterwards."""
        servers, self._servers = self._servers, {}
        await asyncio.gather(*(server.session.close() for server in servers.values() if server.session))

    def _server(self, access: ServerAccess) -> _Server:
        if access not in self._servers:
            if len(self._servers) >= EVICTION_THRESHOLD:
                now = _now()
                self._servers = {key: one for key, one in self._servers.items() if not one.is_expired(now)}
            self._servers[access] = _Server()
        return self._servers[access]

    def _fresh(self, server: _Server) -> ToolList | None:
        if server.failure and server.failed_until > _now():
            raise ServerUnavailable(server.failure.detail) from server.failure
        return server.tools if server.tools and server.tools.fresh_until > _now() else None

    async def _list(self, server: _Server, open_session: OpenSession) -> ToolList:
        try:
            listed = await self._list_with_retry(server, open_session)
        except ServerUnavailable as failure:
            server.failure, server.failed_until = failure, _now() + self._limits.failure
            raise
        server.failure = None
        return listed

    async def _list_with_retry(self, server: _Server, open_session: OpenSession) -> ToolList:
        # The server may have restarted since the last request, and listing tools changes nothing: try twice.
        try:
            return await self._request_tools(server, open_session)
        except SessionLost:
            pass
        try:
            return await self._request_tools(server, open_session)
        except SessionLost as lost:
            raise ServerUnavailable(lost.detail) from lost

    async def _request_tools(self, server: _Server, open_session: OpenSession) -> ToolList:
        session = self._session(server, open_session)
        changes = server.changes
        try:
            listed = tool_list(await session.list_tools(), _now() + self._limits.tool_list)
        except (SessionLost, ServerUnavailable):
            self._drop(server, session)
            raise
        if changes == server.changes:  # else the tools changed while they were read: use the list once, do not cache it
            server.tools = listed
        return listed

    def _session(self, server: _Server, open_session: OpenSession) -> PooledSession:
        if server.session is None or not server.session.alive:
            if server.session is not None:
                self._forget_tools(server)
            server.session = PooledSession(open_session, self._limits)
        return server.session

    def _drop(self, server: _Server, session: PooledSession) -> None:
        session.retire()
        if server.session is session:
            server.session = None
            self._forget_tools(server)

    @staticmethod
    def _forget_tools(server: _Server) -> None:
        server.tools = None
        server.changes += 1


def _now() -> float:
    return asyncio.get_running_loop().time()


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, SessionPool] = WeakKeyDictionary()


def current_pool() -> SessionPool:
    """The pool of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = SessionPool()
    return _pools[loop]
