"""The mapping: an agent of the catalogue as an assistant. The keys are listed in `core/catalogue.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from robyn_server.core.catalogue import AgentSource

from .errors import AgentRejected
from .model import AgentSyncData, AgentSyncMcpTool
from .options import DEFAULT_OPTIONS, AgentSyncOptions
from .sampling import checked_sampling

DEFAULT_GRAPH = "agent"


def _assistant_payload_for_agent(agent: AgentSyncData, options: AgentSyncOptions = DEFAULT_OPTIONS) -> dict[str, Any]:
    """{assistant_id, graph_id, name, description, config, metadata}. Raises AgentRejected.

    `synced_at` is the catalogue's clock at the reading, ISO 8601 in UTC; this process's clock for an agent not read from there.
    """
    return {
        "assistant_id": str(agent.agent_id),
        "graph_id": agent.graph_id or DEFAULT_GRAPH,
        "name": agent.name,
        "description": agent.description,
        "config": {"configurable": _build_assistant_configurable(agent, options)},
        "metadata": {
            **_named(agent),
            **_organization(agent),
            "synced_at": (agent.read_at or datetime.now(UTC)).astimezone(UTC).isoformat(),
        },
    }


def _build_assistant_configurable(agent: AgentSyncData, options: AgentSyncOptions = DEFAULT_OPTIONS) -> dict[str, Any]:
    """What the graph is configured with; what the agent does not say is left out. Raises AgentRejected."""
    configurable: dict[str, Any] = {"model_name": agent.runtime_model_name or options.default_model}
    if agent.system_prompt is not None:
        configurable["system_prompt"] = agent.system_prompt
    configurable |= checked_sampling(agent.agent_id, agent.sampling_params)
    if agent.assistant_tool_ids:
        configurable["agent_tools"] = list(dict.fromkeys(map(str, agent.assistant_tool_ids)))
    configurable |= _organization(agent)
    if agent.mcp_tools:
        configurable["mcp_config"] = {"servers": _servers(agent, options)}
    return configurable


def _named(agent: AgentSyncData) -> dict[str, str]:
    """Where the agent is from, and what it is called there."""
    if agent.registry_id is None:
        return {"supabase_agent_id": str(agent.agent_id)}
    return {"agent_source": AgentSource.CONFIGURATION.value, "agent_id": agent.registry_id}


def check_graph(agent: AgentSyncData, graphs: Collection[str] | None) -> None:
    """Raises AgentRejected when the agent's graph is none of `graphs`; None serves any."""
    graph_id = agent.graph_id or DEFAULT_GRAPH
    if graphs is not None and graph_id not in graphs:
        raise AgentRejected(agent.agent_id, "agents.graph_id", f"this server serves no graph {graph_id!r}")


def _organization(agent: AgentSyncData) -> dict[str, str]:
    return {} if agent.organization_id is None else {"supabase_organization_id": str(agent.organization_id)}


def _servers(agent: AgentSyncData, options: AgentSyncOptions) -> list[dict[str, Any]]:
    """One entry per endpoint, named by its place in the order of URLs, so that a name is stable while the URLs are."""
    by_url: dict[str, list[AgentSyncMcpTool]] = defaultdict(list)
    for tool in agent.mcp_tools:
        by_url[_endpoint(agent, tool)].append(tool)
    return [
        {
            "name": f"server-{number}",
            "url": url,
            "tools": None if options.tool_names == "servers" else _tool_names(agent, tools),
            "auth_required": any(tool.auth_required for tool in tools),
        }
        for number, (url, tools) in enumerate(sorted(by_url.items()), start=1)
    ]


def _endpoint(agent: AgentSyncData, tool: AgentSyncMcpTool) -> str:
    """The tool's URL without a trailing slash. Nothing but HTTP: a catalogue row must not start programs."""
    url = tool.endpoint_url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise AgentRejected(agent.agent_id, "mcp_tools.endpoint_url", f"tool {tool.tool_id} has no http(s) URL")
    return url if parts.query or parts.fragment else url.removesuffix("/")


def _tool_names(agent: AgentSyncData, tools: Iterable[AgentSyncMcpTool]) -> list[str]:
    """Sorted, each once. An empty name is refused: an allow-list fails closed, and this one would not say what it allows."""
    for tool in tools:
        if not tool.tool_name:
            raise AgentRejected(agent.agent_id, "mcp_tools.tool_name", f"tool {tool.tool_id} has no name")
    return sorted({str(tool.tool_name) for tool in tools})
