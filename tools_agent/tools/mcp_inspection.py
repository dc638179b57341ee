"""Ask MCP servers live which tools they offer, for people who look at an agent.

Rules
- Each server has a session and a deadline of its own. Nothing is taken from the pool of runs, or kept for it.
- A reason holds no credential, even if the server repeats the one that it was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp.types import Tool

from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import Credentials, MissingCredential, ServerCredential
from tools_agent.limits import Limits, current_limits
from tools_agent.models.tool_names import unique
from tools_agent.notices import one_line

from .mcp import CREDENTIAL_MISSING
from .mcp_access import connection, server_access
from .mcp_failures import reason
from .mcp_session import OpenSession, PooledSession
from .mcp_tool_list import tool_list

AT_A_TIME = 16
"""Servers that are asked at a time. The others of an agent wait for them."""
CLOSE_SECONDS = 0.5
NOT_ASKED = "it was not asked in time: the agent has too many servers that are slow"
SECRET = "[secret]"  # noqa: S105 - the text in place of one


@dataclass(frozen=True, slots=True)
class InspectedServer:
    """`status`: of the answer. `error`: None if the server is reachable and all of its tools are usable."""

    name: str
    url: str
    status: str
    error: str | None
    seconds: float
    tools: Sequence[Tool] = ()


async def inspect(
    servers: Sequence[MCPServerConfig], credentials: Credentials, user: str, seconds: float
) -> list[InspectedServer]:
    """Ask each server for its tools, at least one server, all within `seconds`. One that fails raises nothing."""
    names: set[str] = set()
    named = [(unique(each.name, names, "-"), each) for each in servers]
    slots = asyncio.Semaphore(AT_A_TIME)
    asked = [asyncio.create_task(_ask(name, each, credentials, user, slots)) for name, each in named]
    try:
        await asyncio.wait(asked, timeout=seconds)
        late = [_late(name, each.url, seconds) for name, each in named]
        return [task.result() if task.done() else missed for task, missed in zip(asked, late, strict=True)]
    finally:
        for task in asked:
            task.cancel()


def _late(name: str, url: str, seconds: float) -> InspectedServer:
    return InspectedServer(name, url, "unreachable", NOT_ASKED, seconds)


async def _ask(
    name: str, server: MCPServerConfig, credentials: Credentials, user: str, slots: asyncio.Semaphore
) -> InspectedServer:
    async with slots:
        began = asyncio.get_running_loop().time()
        found = credentials.get(server.url)
        if isinstance(found, MissingCredential) or (found is None and server.auth_required):
            why = found.why if found is not None else CREDENTIAL_MISSING
            return InspectedServer(name, server.url, "auth_required", one_line(why), 0.0)
        status, tools = "reachable", tuple[Tool, ...]()
        error: str | None
        try:
            tools, error = await _list(name, server, found, user)
        except Exception as failure:  # noqa: BLE001 - a server may answer anything, and costs only itself
            status, error = _status(failure), _without(reason(failure), found)
        return InspectedServer(name, server.url, status, error, asyncio.get_running_loop().time() - began, tools)


async def _list(
    name: str, server: MCPServerConfig, credential: ServerCredential | None, user: str
) -> tuple[tuple[Tool, ...], str | None]:
    """The tools that the agent may use, and what is wrong with others. Raises ServerUnavailable, SessionLost."""
    limits = replace(current_limits(), close=CLOSE_SECONDS)
    access = server_access(server.url, credential, user)
    client = MultiServerMCPClient({name: connection(access, limits, _ignore)})
    listed = tool_list(await _entries(partial(client.session, name), limits), 0.0)
    allowed = [each for each in listed.tools if server.tools is None or each.name in server.tools]
    unusable = [f"{each.name}: {each.why}" for each in listed.unusable]
    missing = sorted(set(server.tools or ()) - {each.name for each in listed.tools})
    problems = [*unusable, *(f"{each}: the server does not list it" for each in missing)]
    return tuple(allowed), _without("; ".join(problems), credential) if problems else None


async def _entries(open_session: OpenSession, limits: Limits) -> list[Any]:
    session = PooledSession(open_session, limits)
    try:
        return await session.list_tools()
    finally:
        await session.close()


async def _ignore(message: object) -> None:
    """Notifications of a session that is about to end change nothing."""


def _status(failure: BaseException) -> str:
    answered = next((each.response.status_code for each in _answers(failure)), None)
    if answered == httpx.codes.UNAUTHORIZED:
        return "auth_required"
    return "refused" if answered is not None and httpx.codes.is_client_error(answered) else "unreachable"


def _answers(failure: BaseException | None) -> Iterator[httpx.HTTPStatusError]:
    """The HTTP answers among the causes of a failure."""
    if isinstance(failure, httpx.HTTPStatusError):
        yield failure
    elif isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _answers(each)
    elif failure is not None:
        yield from _answers(failure.__cause__)


def _without(text: str, credential: ServerCredential | None) -> str:
    """The text without the credential, with or without its scheme."""
    if credential is not None:
        value = credential.value.get_secret_value()
        for each in (value, value.rpartition(" ")[2]):
            text = text.replace(each, SECRET) if each else text
    return one_line(text)
