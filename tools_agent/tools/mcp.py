"""An agent's MCP tools. The interface of the modules `mcp*`: nothing else in the agent uses the MCP libraries.

`discover` asks all servers of an agent at once, each with its own deadline, and returns their tools;
`DiscoveredTools.offered` converts them for a provider. A server that fails becomes a notice, and so does a tool that
cannot be used. The others remain.

The adapters of LangChain open the sessions. Their conversion of tools and results is not used: it raises for content
that it does not know, and the tool has run by then.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp.types import Tool

from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import (
    ConnectionRequired,
    Credentials,
    MissingCredential,
    ServerCredential,
    connections_required,
)
from tools_agent.errors import ArgumentsUnsendable, ServerUnavailable
from tools_agent.limits import Limits, current_limits
from tools_agent.models.providers import ProviderRules
from tools_agent.models.tool_names import offered_names, unique
from tools_agent.notices import Notice, one_line, server_unavailable, tools_not_found, tools_unusable
from tools_agent.plain_values import unsendable, whole_text

from .mcp_access import ServerAccess, connection, server_access
from .mcp_pool import current_pool
from .mcp_results import read_result
from .mcp_session import OpenSession
from .mcp_tool_list import ToolList, UnusableTool
from .tool_schemas import SchemaUnusable, function_schema, with_argument_names

MAX_SCHEMA_CHARACTERS = 500_000
"""Characters of all tools of an agent. More fill the context of a model, which refuses the request then."""
CREDENTIAL_MISSING = "it needs a credential, and this server has none for it"


@dataclass(frozen=True, slots=True)
class _Server:
    """A server of this agent, with a name that is unique within the agent."""

    name: str
    config: MCPServerConfig
    access: ServerAccess


@dataclass(frozen=True, slots=True)
class _ServerTools:
    server: _Server
    open_session: OpenSession
    tools: tuple[Tool, ...]
    identity: str


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """The tools of an agent for its model. `notices` name those that the model's provider does not take."""

    tools: tuple[BaseTool, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class DiscoveredTools:
    """The tools that an agent's servers offer now. `identity` is equal for equal tools, servers and credentials."""

    listed: tuple[_ServerTools, ...]
    notices: tuple[Notice, ...]
    connections: tuple[ConnectionRequired, ...] = ()
    """Servers that the user has to connect to first."""

    @property
    def identity(self) -> tuple[tuple[str, ServerAccess, str], ...]:
        return tuple((one.server.name, one.server.access, one.identity) for one in self.listed)

    def offered(self, rules: ProviderRules) -> OfferedTools:
        """Convert the tools for a provider, in the order of the servers. Takes about 1 ms for each tool."""
        every = [(one, tool) for one in self.listed for tool in one.tools]
        names = offered_names([(one.server.name, tool.name) for one, tool in every])
        tools: list[BaseTool] = []
        room = MAX_SCHEMA_CHARACTERS
        unusable: dict[str, list[UnusableTool]] = defaultdict(list)
        for (one, tool), name in zip(every, names, strict=True):
            if len(tools) == rules.max_tools:
                why = f"the model's provider takes at most {rules.max_tools} tools"
                unusable[one.server.name].append(UnusableTool(one_line(tool.name), why))
                continue
            try:
                converted, size = _langchain_tool(one, tool, name, rules, room)
                tools.append(converted)
                room -= size
            except Exception as error:  # noqa: BLE001  a schema may hold anything, and costs only its tool
                unusable[one.server.name].append(UnusableTool(one_line(tool.name), _schema_problem(error)))
        notices = [
            tools_unusable(one.server.name, one.server.config.url, found)
            for one in self.listed
            if (found := [(each.name, each.why) for each in unusable[one.server.name]])
        ]
        return OfferedTools(tuple(tools), tuple(notices))


async def discover(
    servers: Sequence[MCPServerConfig], credentials: Credentials | None = None, user: str = ""
) -> DiscoveredTools:
    """Ask every server for its tools. A failing server raises nothing. `user`: of the run; users share no session."""
    notices: list[Notice] = []
    resolved = list(_resolve_servers(servers, credentials or {}, user, notices))
    client = MultiServerMCPClient({one.name: _connection(one.access, current_limits()) for one in resolved})
    outcomes = await asyncio.gather(*(_list_tools(one, client) for one in resolved))
    missing = [notice for _, of_server in outcomes for notice in of_server]
    connections = tuple(connections_required(servers, credentials or {}))
    return DiscoveredTools(tuple(listed for listed, _ in outcomes if listed), (*notices, *missing), connections)


def _resolve_servers(
    servers: Sequence[MCPServerConfig], credentials: Credentials, user: str, notices: list[Notice]
) -> Iterator[_Server]:
    names: set[str] = set()
    for config in servers:
        name = unique(config.name, names, "-")
        try:
            yield _Server(name, config, server_access(config.url, _credential(config, credentials), user))
        except ServerUnavailable as unavailable:
            notices.append(server_unavailable(name, config.url, unavailable.detail))


def _credential(config: MCPServerConfig, credentials: Credentials) -> ServerCredential | None:
    """The credential that the host has for the server. Raises ServerUnavailable when it needs one that is missing."""
    found = credentials.get(config.url)
    if isinstance(found, MissingCredential):
        raise ServerUnavailable(found.why)
    if found is None and config.auth_required:
        raise ServerUnavailable(CREDENTIAL_MISSING)
    return found


def _connection(access: ServerAccess, limits: Limits) -> Any:
    async def on_message(message: object) -> None:
        await current_pool().on_message(access, message)

    return connection(access, limits, on_message)


async def _list_tools(server: _Server, client: MultiServerMCPClient) -> tuple[_ServerTools | None, list[Notice]]:
    open_session = partial(client.session, server.name)
    try:
        listed = await current_pool().tools(server.access, open_session)
    except ServerUnavailable as unavailable:
        return None, [server_unavailable(server.name, server.config.url, unavailable.detail)]
    return _offered_by(server, open_session, listed)


def _offered_by(server: _Server, open_session: OpenSession, listed: ToolList) -> tuple[_ServerTools, list[Notice]]:
    tools, missing = _allowed(listed.tools, server.config.tools)
    malformed = {one.name for one in listed.unusable}
    unknown = [name for name in missing if name not in malformed]
    notices: list[Notice] = []
    if listed.unusable:
        found = [(one.name, one.why) for one in listed.unusable]
        notices.append(tools_unusable(server.name, server.config.url, found))
    wanted = server.config.tools
    if unknown or (wanted is not None and not tools and not malformed.intersection(wanted)):
        notices.append(tools_not_found(server.name, server.config.url, unknown, offered=len(tools)))
    return _ServerTools(server, open_session, tools, listed.identity), notices


def _allowed(tools: tuple[Tool, ...], names: Sequence[str] | None) -> tuple[tuple[Tool, ...], list[str]]:
    """Return the allowed tools, and the names that match no tool."""
    if names is None:
        return tools, []
    allowed = tuple(tool for tool in tools if tool.name in names)
    return allowed, sorted(set(names) - {tool.name for tool in allowed})


def _schema_problem(error: Exception) -> str:
    reason = str(error) if isinstance(error, SchemaUnusable) else f"{type(error).__name__}: {error}"
    return one_line(f"no provider takes its inputSchema: {reason}")


class _McpTool(BaseTool):
    """A tool of an MCP server, under the name and with the schema that the model's provider takes."""

    listed: Any
    """The _ServerTools that the tool belongs to."""
    tool_name: str
    """The tool's name on its server."""
    argument_names: dict[str, str]
    """The original name of each argument that has another one here."""
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    def _run(self, /, **arguments: Any) -> Any:
        raise NotImplementedError("An MCP tool is called in an event loop.")

    # Without named parameters LangChain passes all arguments on, whatever they are called.
    async def _arun(self, /, *_: Any, **arguments: Any) -> Any:
        given = {self.argument_names.get(name, name): value for name, value in arguments.items()}
        if problem := unsendable(given):
            raise ArgumentsUnsendable(f"the argument {problem}")
        answer = await current_pool().call(self.listed.server.access, self.listed.open_session, self.tool_name, given)
        return read_result(answer)


def _langchain_tool(
    listed: _ServerTools, tool: Tool, name: str, rules: ProviderRules, room: int
) -> tuple[BaseTool, int]:
    """Return the tool and the characters of its description for the model.

    Raises SchemaUnusable, or whatever LangChain raises for a schema that it cannot convert.
    """
    schema = function_schema(tool.inputSchema)
    argument_names: dict[str, str] = {}
    if rules.argument_name is not None:
        schema, argument_names = with_argument_names(schema, rules.argument_name)
    converted = _McpTool(
        name=name,
        description=_description(tool, name, rules),
        args_schema=schema,
        metadata={"mcp_server": listed.server.name},
        listed=listed,
        tool_name=tool.name,
        argument_names=argument_names,
    )
    size = len(json.dumps(convert_to_openai_tool(converted)))
    if size > room:
        raise SchemaUnusable(f"all tools together have more than {MAX_SCHEMA_CHARACTERS:,} characters")
    return converted, size


def _description(tool: Tool, name: str, rules: ProviderRules) -> str:
    """Return the tool's description, with its own name if it is offered under another one."""
    text = whole_text(tool.description or "")
    if name != tool.name:
        text = f"{text}\n\nThe user may call it {one_line(whole_text(tool.name) or '(nameless)')}.".strip()
    limit = rules.description_length
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


async def close_sessions() -> None:
    """Close all sessions of the running event loop."""
    await current_pool().close()
