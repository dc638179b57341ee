"""Map an agent of the catalogue to an assistant. The keys are listed in `core/catalogue/fields.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from robyn_server.agent_sync.catalogue_db.fields import FIELDS
from robyn_server.core.catalogue.fields import AgentSource

from .errors import AgentRejected
from .model import AgentSyncData, AgentSyncMcpTool
from .options import DEFAULT_OPTIONS, AgentSyncOptions

DEFAULT_GRAPH = "agent"
_PLAIN_KEYS = {field.configurable: field.name for field in FIELDS if field.configurable is not None}
"""Keys of `configurable` that hold a field as it is."""


def map_agent(agent: AgentSyncData, graphs: Collection[str] | None, options: AgentSyncOptions) -> dict[str, Any]:
    """The payload of an agent that this server can serve. Raises AgentRejected; `graphs` None: any graph is served."""
    graph_id = agent.graph_id or DEFAULT_GRAPH
    if graphs is not None and graph_id not in graphs:
        raise AgentRejected(agent.agent_id, "agents.graph_id", f"this server serves no graph {graph_id!r}")
    return _assistant_payload_for_agent(agent, options)


def _assistant_payload_for_agent(agent: AgentSyncData, options: AgentSyncOptions = DEFAULT_OPTIONS) -> dict[str, Any]:
    """{assistant_id, graph_id, name, description, config, metadata}. Raises AgentRejected.

    `synced_at` is the catalogue's clock at the reading, ISO 8601 in UTC; this process's clock for an agent not read
    from there.
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
    """The configuration of the graph, without the keys that the agent leaves out. Raises AgentRejected."""
    configurable: dict[str, Any] = {"model_name": agent.runtime_model_name or options.default_model}
    for key, name in _PLAIN_KEYS.items():
        if (value := getattr(agent, name)) is not None:
            configurable[key] = value
    configurable |= checked_sampling(agent.agent_id, agent.sampling_params)
    if agent.assistant_tool_ids:
        configurable["agent_tools"] = list(dict.fromkeys(map(str, agent.assistant_tool_ids)))
    configurable |= _organization(agent)
    if agent.mcp_tools:
        configurable["mcp_config"] = {"servers": _servers(agent, options)}
    return configurable


def _named(agent: AgentSyncData) -> dict[str, str]:
    """The agent's source, and its id there."""
    if agent.registry_id is None:
        return {"supabase_agent_id": str(agent.agent_id)}
    return {"agent_source": AgentSource.CONFIGURATION.value, "agent_id": agent.registry_id}


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
    """Sorted, each once. An empty name is refused, because an allow-list fails closed."""
    for tool in tools:
        if not tool.tool_name:
            raise AgentRejected(agent.agent_id, "mcp_tools.tool_name", f"tool {tool.tool_id} has no name")
    return sorted({str(tool.tool_name) for tool in tools})


_LARGEST_EXACT = 2**53


def _whole(value: Any) -> Any:
    """Return a whole number as an integer: jsonb keeps 100.0 as it was written.

    A float over 53 bits may have been rounded.
    """
    is_exact = isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT
    return int(value) if is_exact else value


_Integer = Annotated[int, BeforeValidator(_whole)]


class _Sampling(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    temperature: float | None = None
    top_p: float | None = None
    top_k: _Integer | None = None
    max_tokens: _Integer | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: str | list[str] | None = None
    seed: _Integer | None = None


_INTEGERS = frozenset({"top_k", "max_tokens", "seed"})


def checked_sampling(agent_id: UUID, params: dict[str, Any]) -> dict[str, Any]:
    """`params` without its nulls. Raises AgentRejected for a key that is not on the list, or has the wrong type."""
    try:
        _Sampling.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise AgentRejected(agent_id, f"agents.sampling_params.{first['loc'][0]}", _problem(first)) from None
    return {key: _whole(value) if key in _INTEGERS else value for key, value in params.items() if value is not None}


def _problem(detail: Any) -> str:
    return "not a sampling parameter" if detail["type"] == "extra_forbidden" else str(detail["msg"])
