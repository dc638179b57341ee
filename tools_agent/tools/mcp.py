"""An agent's MCP tools. The face of the module family `mcp*`: nothing else in the agent knows the library behind it.

`discover` asks all servers of an agent at once, each with its own deadline and its own failure, and says what they
offer; `Offer.tools` makes tools of it. What is missing becomes notices, never an error: other servers' tools stay.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.tools import BaseTool, StructuredTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.interceptors import MCPToolCallRequest
from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool
from mcp.types import CallToolResult, Tool
from pydantic import SecretStr

from tools_agent.configuration import MCPServerConfig
from tools_agent.errors import ServerUnavailable
from tools_agent.limits import Limits, current_limits
from tools_agent.notices import Notice, server_unavailable, tools_not_found

from .mcp_access import ServerAccess, connection, server_access
from .mcp_pool import current_pool
from .mcp_session import OpenSession

LONGEST_TOOL_NAME = 64
"""What OpenAI and Anthropic accept."""
NEEDS_TOKEN = "it needs a token of the user, and none is delivered"  # noqa: S105  words, not a secret


@dataclass(frozen=True, slots=True)
class _Server:
    """A server of this agent under the name it has here (unique within the agent)."""

    name: str
    config: MCPServerConfig
    access: ServerAccess


@dataclass(frozen=True, slots=True)
class _Listed:
    server: _Server
    open_session: OpenSession
    tools: tuple[Tool, ...]
    identity: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What an agent's servers offer now. `identity` is equal for equal tools of equal servers as the same user."""

    listed: tuple[_Listed, ...]
    notices: tuple[Notice, ...]

    @property
    def identity(self) -> tuple[tuple[str, ServerAccess, str], ...]:
        return tuple((one.server.name, one.server.access, one.identity) for one in self.listed)

    def tools(self) -> list[BaseTool]:
        """In the order of the servers; a name that an earlier server has is prefixed with its server's name."""
        taken: set[str] = set()
        return [_langchain_tool(one, tool, taken) for one in self.listed for tool in one.tools]


async def discover(servers: Sequence[MCPServerConfig], tokens: Mapping[str, SecretStr] | None = None) -> Offer:
    """Ask every server for its tools. `tokens` are the user's, by the URL as configured. Never raises for a server."""
    notices: list[Notice] = []
    dialled = list(_dialled(servers, tokens or {}, notices))
    client = MultiServerMCPClient({one.name: _connection(one.access, current_limits()) for one in dialled})
    outcomes = await asyncio.gather(*(_listed(one, client) for one in dialled))
    missing = [notice for _, of_server in outcomes for notice in of_server]
    return Offer(tuple(listed for listed, _ in outcomes if listed), (*notices, *missing))


def _dialled(
    servers: Sequence[MCPServerConfig], tokens: Mapping[str, SecretStr], notices: list[Notice]
) -> Iterator[_Server]:
    names: set[str] = set()
    for config in servers:
        name = _unique(config.name, names, "-")
        try:
            yield _Server(name, config, _access(config, tokens))
        except ServerUnavailable as unavailable:
            notices.append(server_unavailable(name, config.url, unavailable.detail))


def _access(config: MCPServerConfig, tokens: Mapping[str, SecretStr]) -> ServerAccess:
    if config.auth_required and config.url not in tokens:
        raise ServerUnavailable(NEEDS_TOKEN)
    return server_access(config.url, tokens[config.url] if config.auth_required else None)


def _connection(access: ServerAccess, limits: Limits) -> Any:
    async def on_message(message: object) -> None:
        await current_pool().on_message(access, message)

    return connection(access, limits, on_message)


async def _listed(server: _Server, client: MultiServerMCPClient) -> tuple[_Listed | None, list[Notice]]:
    open_session = partial(client.session, server.name)
    try:
        listed = await current_pool().tools(server.access, open_session)
    except ServerUnavailable as unavailable:
        return None, [server_unavailable(server.name, server.config.url, unavailable.detail)]
    tools, missing = _allowed(listed.tools, server.config.tools)
    notices = (
        [tools_not_found(server.name, server.config.url, missing, offered=len(tools))] if missing is not None else []
    )
    return _Listed(server, open_session, tools, listed.identity), notices


def _allowed(tools: tuple[Tool, ...], names: Sequence[str] | None) -> tuple[tuple[Tool, ...], list[str] | None]:
    """The tools of an allow-list, and its names that are none. None for names: all tools, nothing to miss."""
    if names is None:
        return tools, None
    allowed = tuple(tool for tool in tools if tool.name in names)
    missing = sorted(set(names) - {tool.name for tool in allowed})
    return allowed, missing if missing or not allowed else None


class _McpTool(StructuredTool):
    """Passes arguments on whatever they are called: LangChain's own tool takes `config` and `run_manager` for itself."""

    async def _arun(self, /, *_: Any, **arguments: Any) -> Any:
        return await cast("Callable[..., Awaitable[Any]]", self.coroutine)(**arguments)


def _langchain_tool(listed: _Listed, tool: Tool, taken: set[str]) -> BaseTool:
    """Conversion of schemas and results is the adapters'; the call itself goes through the pool."""

    async def through_pool(request: MCPToolCallRequest, handler: object) -> CallToolResult:  # noqa: ARG001  not called: it would open a session for each call
        pool = current_pool()
        return await pool.call(listed.server.access, listed.open_session, request.name, _arguments(request, tool))

    converted = cast(
        "StructuredTool",
        convert_mcp_tool_to_langchain_tool(
            None,
            tool,
            connection=_connection(listed.server.access, current_limits()),
            tool_interceptors=[through_pool],
            server_name=listed.server.name,
        ),
    )
    name = tool.name if tool.name not in taken else _prefixed(listed.server.name, tool.name)
    return _McpTool(
        name=_unique(name, taken, "__"),
        description=converted.description,
        args_schema=converted.args_schema,
        coroutine=_plain(converted.coroutine),
        response_format=converted.response_format,
        metadata=(converted.metadata or {}) | {"mcp_server": listed.server.name},
        handle_tool_error=converted.handle_tool_error,
    )


def _plain(coroutine: Callable[..., Awaitable[Any]] | None) -> Callable[..., Awaitable[Any]]:
    """Without the adapters' parameter `runtime`: LangGraph would put its own value over an argument of that name."""

    async def call(**arguments: Any) -> Any:
        return await cast("Callable[..., Awaitable[Any]]", coroutine)(**arguments)

    return call


def _arguments(request: MCPToolCallRequest, tool: Tool) -> dict[str, Any]:
    """The adapters take an argument named `runtime` aside; a tool that has one gets it back."""
    has_one = "runtime" in (tool.inputSchema.get("properties") or {}) and request.runtime is not None
    return {**request.args, "runtime": request.runtime} if has_one else request.args


def _prefixed(server: str, tool: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', server)}__{tool}"[-LONGEST_TOOL_NAME:]


def _unique(name: str, taken: set[str], separator: str) -> str:
    """`name`, numbered when it is taken, and taken from now on."""
    free = (
        name
        if name not in taken
        else next(new for n in range(2, 10_000) if (new := f"{name}{separator}{n}") not in taken)
    )
    taken.add(free)
    return free


async def close_sessions() -> None:
    """Close all sessions of the running event loop."""
    await current_pool().close()
