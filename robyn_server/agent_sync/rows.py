"""One row of the catalogue query made into an agent, or refused with a reason that names agent and column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from .errors import AgentRejected
from .model import AgentSyncData

_PLAIN = (
    "organization_id",
    "name",
    "description",
    "system_prompt",
    "runtime_model_name",
    "graph_id",
    "langgraph_assistant_id",
    "is_global",
    "read_at",
)
_GLOBAL_ENGINE = "global"


def parse_agents(rows: Iterable[Mapping[str, Any]], failures: list[AgentRejected]) -> list[AgentSyncData]:
    """The good rows in their order; each bad one is added to `failures`."""
    agents = []
    for row in rows:
        try:
            agents.append(parse_agent(row))
        except AgentRejected as rejection:
            failures.append(rejection)
    return agents


def parse_agent(row: Mapping[str, Any]) -> AgentSyncData:
    """Raises AgentRejected for the first thing that is wrong with the row."""
    agent_id = row["agent_id"]
    _check_engine(agent_id, row)
    try:
        return AgentSyncData(
            agent_id=agent_id,
            sampling_params=_json(agent_id, row, "sampling_params"),
            assistant_tool_ids=_json(agent_id, row, "assistant_tool_ids"),
            mcp_tools=_tools(agent_id, _json(agent_id, row, "mcp_tools") or []),
            registry_id=row.get("registry_id"),
            **{name: row[name] for name in _PLAIN},
        )
    except ValidationError as error:
        raise _rejection(agent_id, error) from None


def _check_engine(agent_id: UUID, row: Mapping[str, Any]) -> None:
    """An engine that leads to no model is a failure: the default model would answer in its place, and nobody would know."""
    if row["engine_id"] is None:
        return
    if not row["engine_found"]:
        if row["engine_type"] not in {None, _GLOBAL_ENGINE}:
            raise AgentRejected(agent_id, "agents.engine_type", "only global engines can be resolved")
        raise AgentRejected(agent_id, "agents.engine_id", "no such row in global_ai_engines")
    if not row["runtime_model_name"]:
        raise AgentRejected(
            agent_id, "global_ai_engines.language_model_id", "leads to no row of ai_models with a runtime_model_name"
        )


def _tools(agent_id: UUID, tools: Any) -> Any:
    """A view may leave `tool_found` out: what it lists is there."""
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise AgentRejected(agent_id, "agents.mcp_tools", "not an array of objects")
    for tool in tools:
        if not tool.get("tool_found", True):
            raise AgentRejected(agent_id, "agent_mcp_tools.mcp_tool_id", f"no tool {tool.get('tool_id')} in mcp_tools")
    return tools


def _json(agent_id: UUID, row: Mapping[str, Any], column: str) -> Any:
    value = row[column]
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError as error:
        raise AgentRejected(agent_id, f"agents.{column}", f"not JSON that can be read: {error}") from None


def _rejection(agent_id: UUID, error: ValidationError) -> AgentRejected:
    """Not `str(error)`: it repeats values, and a prompt or a URL is nobody else's business."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return AgentRejected(agent_id, where if where.startswith("mcp_tools") else f"agents.{where}", first["msg"])
