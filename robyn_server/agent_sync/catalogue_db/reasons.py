"""The columns that reasons of failures name: those of the tables, or those of the configured view."""

from __future__ import annotations

from robyn_server.agent_sync.errors import AgentRejected

from .fields import COLUMNS
from .source import CatalogueSource

_OF_VIEW = {f"agents.{field.column}": field.name for field in COLUMNS} | {
    "agents.engine_id": "engine_found",
    "global_ai_engines.language_model_id": "runtime_model_name",
    "agent_mcp_tools.mcp_tool_id": "mcp_tools",
}
"""Columns of the tables, and the columns of a view that hold the same. Others have the same name."""

_PROBLEMS = {
    "engine_found": "is false: the agent names an engine that does not exist",
    "runtime_model_name": "is empty, and the agent names an engine",
}
"""Problems that are worded in terms of the tables, by the column of a view."""


def rejected_in(source: CatalogueSource, rejection: AgentRejected) -> AgentRejected:
    """The rejection with the column of `source` in its reason."""
    if source.view is None:
        return rejection
    table, name, *keys = rejection.column.split(".")
    column, problem = _OF_VIEW.get(f"{table}.{name}"), rejection.problem
    if column is None:
        path = [name, *keys] if table == "agents" else [table, name, *keys]
        return AgentRejected(rejection.agent_id, ".".join([source.view, *path]), problem)
    if f"{table}.{name}" != f"agents.{column}":
        problem = _PROBLEMS.get(column, problem)
    return AgentRejected(rejection.agent_id, ".".join([source.view, column, *keys]), problem)
