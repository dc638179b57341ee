"""The MCP servers, tools and other agents of an assistant, read from its configuration without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools_agent.configuration import is_single_server


def get_agent_tool_info(assistant_or_config: Any) -> dict[str, Any]:
    """Return `{"servers": [{"name", "url", "tools", "auth_required"}], "agent_tools": [ids]}`; `tools` None means all
    of them.

    Accepts an assistant (a mapping or an object with `config`), a config (`{"configurable": …}`), a configurable, or
    None. An `mcp_config` may be that of a single server. Entries without a URL are left out, because they cannot be
    called.
    """
    configurable = _configurable(assistant_or_config)
    mcp_config = _mapping(configurable.get("mcp_config"))
    entries = [mcp_config] if is_single_server(mcp_config) else _sequence(mcp_config.get("servers"))
    servers = [_server(entry) for entry in entries if _mapping(entry).get("url")]
    return {"servers": servers, "agent_tools": [str(agent) for agent in _sequence(configurable.get("agent_tools"))]}


def _configurable(value: Any) -> Mapping[str, Any]:
    outer = _mapping(value)
    config = _mapping(outer["config"]) if "config" in outer else _mapping(getattr(value, "config", None)) or outer
    return _mapping(config["configurable"]) if "configurable" in config else config


def _server(entry: Any) -> dict[str, Any]:
    server = _mapping(entry)
    tools = server.get("tools")
    return {
        "name": server.get("name") or "default",
        "url": server["url"],
        "tools": None if tools is None else [str(tool) for tool in _sequence(tools)],
        "auth_required": bool(server.get("auth_required", False)),
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` as a mapping. Models are dumped, other values are empty."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else {}


def _sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
