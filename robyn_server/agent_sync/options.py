"""How to sync, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .scope import AgentSyncScope


@dataclass(frozen=True, slots=True)
class AgentSyncOptions:
    """default_model: of an agent without an engine (AGENTHALL_DEFAULT_MODEL).

    tool_names: what the catalogue's `tool_name` holds (AGENT_SYNC_TOOL_NAMES): tools' names become allow-lists; servers' names
    allow all tools of the server. write_back: whether `langgraph_assistant_id` is written (AGENT_SYNC_WRITE_BACK).
    scope: AGENT_SYNC_SCOPE; with `none` a database without any catalogue is no error.
    concurrency: agents in work at once. page_size: agents in memory at once.
    """

    default_model: str = "openai:gpt-4o"
    tool_names: Literal["tools", "servers"] = "tools"
    write_back: bool = True
    scope: AgentSyncScope = field(default_factory=AgentSyncScope)
    concurrency: int = 8
    page_size: int = 500


DEFAULT_OPTIONS = AgentSyncOptions()
