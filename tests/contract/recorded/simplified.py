"""Leave out of an answer what depends on the installation, and abbreviate what occurs everywhere.

Rules
  1. Names that a server sets for itself are dropped (SERVER_NAMES), wherever they stand.
  2. A message of LangChain without extras becomes a text such as `human u-1: hi`. A message with other members stays.
  3. A JSON schema is reduced to the names of its properties.
"""

from __future__ import annotations

from typing import Any

SERVER_NAMES = frozenset(
    {
        "langgraph_version",
        "langgraph_api_version",
        "langgraph_plan",
        "langgraph_host",
        "langgraph_api_url",
        "langgraph_auth_user",
        "langgraph_auth_user_id",
        "langgraph_auth_permissions",
        "langgraph_request_id",
        "langgraph_request_start_time_ms",
        "__request_start_time_ms__",
        "__after_seconds__",
        "__pregel_node_finished",
        "run_attempt",
        "user_id",
        "lc_versions",
        "ls_integration",
    }
)
"""Versions, the caller, clocks and tracing."""

_BASE = {"additional_kwargs": {}, "response_metadata": {}, "name": None}
_AI = _BASE | {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
_PLAIN: dict[str, dict[str, Any]] = {
    "human": _BASE,
    "ai": _AI,
    "AIMessageChunk": _AI | {"tool_call_chunks": [], "chunk_position": None},
}
_LAST = {"chunk_position": "last"}


def simplified(value: Any) -> Any:
    if isinstance(value, list):
        return [simplified(each) for each in value]
    if not isinstance(value, dict):
        return value
    return _message(value) or {
        name: _schema(each) if name.endswith("_schema") else simplified(each)
        for name, each in value.items()
        if name not in SERVER_NAMES
    }


def _message(value: dict[str, Any]) -> str | None:
    plain = _PLAIN.get(str(value.get("type")))
    if plain is None or not isinstance(value.get("content"), str):
        return None
    rest = {name: each for name, each in value.items() if name not in ("type", "content", "id")}
    if rest == plain:
        return f"{value['type']} {value.get('id')}: {value['content']}"
    if rest == plain | _LAST:
        return f"{value['type']} {value.get('id')}, the last: {value['content']}"
    return None


def _schema(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return sorted(value.get("properties", value))
