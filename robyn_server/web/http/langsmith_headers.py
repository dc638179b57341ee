"""LangSmith's headers of a caller that is traced, such as RemoteGraph. As in LangGraph's server, a graph finds them in
`configurable`.

A graph that wants to join the trace opens `langsmith.tracing_context` with them:
https://docs.langchain.com/langsmith/agent-server-distributed-tracing
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

TRACE = "langsmith-trace"
LONGEST = 4096
"""Characters of a header. A longer one is ignored, as a malformed one is."""

_DOTTED_ORDER = re.compile(r"\d{8}T\d{12}Z[0-9a-f-]{36}(\.\d{8}T\d{12}Z[0-9a-f-]{36})*")


def langsmith_keys(headers: Mapping[str, str]) -> dict[str, Any]:
    """`langsmith-trace`, and `langsmith-project`, `langsmith-tags` and `langsmith-metadata` of the baggage; empty
    without a trace."""
    trace, baggage = headers.get(TRACE, "").strip(), headers.get("baggage", "")
    if len(trace) > LONGEST or not _DOTTED_ORDER.fullmatch(trace):
        return {}
    return {TRACE: trace} | (_of_baggage(baggage) if len(baggage) <= LONGEST else {})


def _of_baggage(baggage: str) -> dict[str, Any]:
    members = dict(member.strip().split("=", 1) for member in baggage.split(",") if "=" in member)
    found: dict[str, Any] = {}
    if project := unquote(members.get("langsmith-project", "")):
        found["langsmith-project"] = project
    if tags := unquote(members.get("langsmith-tags", "")):
        found["langsmith-tags"] = tags.split(",")
    if metadata := _object(unquote(members.get("langsmith-metadata", ""))):
        found["langsmith-metadata"] = metadata
    return found


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
