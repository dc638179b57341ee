"""Ask the MCP servers of an agent which tools they offer. The MCP libraries are imported by the first question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from robyn_server.core.json import exact_json
from robyn_server.egress.network import REFUSED
from tools_agent.configuration import MCPServerConfig
from tools_agent.credentials import Credentials
from tools_agent.notices import public_url

if TYPE_CHECKING:
    from tools_agent.tools.mcp_inspection import InspectedServer

SECONDS = 15.0
"""Limit for all servers of an agent. Each has the limits of a run for its handshake and its list."""
MAX_BYTES = 1_000_000
"""Of the tools in one answer. Further ones are left out, and the answer says so."""

_MODULE = "tools_agent.tools.mcp_inspection"


async def ask_servers(servers: Sequence[MCPServerConfig], credentials: Credentials, user: str) -> list[dict[str, Any]]:
    """The servers in their order, as the API shows them."""
    if not servers:
        return []
    module = await asyncio.to_thread(import_module, _MODULE)  # about a second, so not on the event loop
    found: list[InspectedServer] = await module.inspect(servers, credentials, user, SECONDS)
    return _shown(found)


def _shown(found: Iterable[InspectedServer]) -> list[dict[str, Any]]:
    shown, room = [], MAX_BYTES
    for each in found:
        tools, left_out = [], 0
        for tool in each.tools:
            entry = {"name": tool.name, "description": tool.description or "", "input_schema": tool.inputSchema}
            size = len(exact_json.dumps(entry))
            room -= size
            left_out += room < 0
            tools += [entry] if room >= 0 else []
        shown.append({**_server(each), **_left_out(each, left_out), "tools": tools})
    return shown


def _server(found: InspectedServer) -> dict[str, Any]:
    is_refused = found.error is not None and REFUSED in found.error
    return {
        "name": found.name,
        "url": public_url(found.url),
        "status": "refused" if is_refused else found.status,
        "error": found.error,
        "seconds": round(found.seconds, 3),
    }


def _left_out(found: InspectedServer, number: int) -> dict[str, Any]:
    if not number:
        return {}
    told = f"{number} tools are left out: an answer has at most {MAX_BYTES:,} bytes of them"
    return {"error": told if found.error is None else f"{told}; {found.error}"}
