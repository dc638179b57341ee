"""Read the answer to `tools/list`: a malformed tool costs only itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from mcp.types import Tool
from pydantic import ValidationError

from tools_agent.notices import one_line

MALFORMED = "its description in the server's list is malformed"


@dataclass(frozen=True, slots=True)
class UnusableTool:
    """`name`: of the tool, or "number 3" if it has none."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class ToolList:
    """`identity` changes exactly when the tools change."""

    tools: tuple[Tool, ...]
    unusable: tuple[UnusableTool, ...]
    identity: str
    fresh_until: float


def tool_list(entries: Iterable[Any], fresh_until: float) -> ToolList:
    tools: dict[str, Tool] = {}
    unusable: list[UnusableTool] = []
    digest = blake2b(digest_size=16)
    for number, entry in enumerate(entries, start=1):
        try:
            tool, text = _read(entry)
        except (ValueError, RecursionError) as error:
            unusable.append(UnusableTool(_name(entry, number), _reason(error)))
            continue
        if tool.name in tools:
            unusable.append(UnusableTool(_name(entry, number), "the server lists it more than once"))
            continue
        tools[tool.name] = tool
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(repr(unusable).encode("utf-8", "surrogatepass"))
    return ToolList(tuple(tools.values()), tuple(unusable), digest.hexdigest(), fresh_until)


def _read(entry: Any) -> tuple[Tool, str]:
    return Tool.model_validate(entry), json.dumps(entry, sort_keys=True)


def _name(entry: Any, number: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return one_line(name) if isinstance(name, str) and name.strip() else f"number {number}"


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return one_line(f"{MALFORMED}: {error}")
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return one_line(f"{where}: {first['msg']}" if where else str(first["msg"]))
