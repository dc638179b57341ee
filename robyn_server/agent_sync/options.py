"""How to sync, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .scope import AgentSyncScope
from .source import STANDARD, CatalogueSource


@dataclass(frozen=True, slots=True)
class AgentSyncOptions:
    """default_model: of an agent without an engine (AGENTHALL_DEFAULT_MODEL).

    tool_names: what the catalogue's `tool_name` holds (AGENT_SYNC_TOOL_NAMES): tools' names become allow-lists; servers' names
    allow all tools of the server. write_back: whether `langgraph_assistant_id` is written (AGENT_SYNC_WRITE_BACK).
    scope: AGENT_SYNC_SCOPE; with `none` a database without any catalogue is no error.
    templates: whether an agent that is not global is a template, of which each user has a copy (AGENT_SYNC_TEMPLATES).
    source: where the catalogue is read (AGENT_SYNC_CATALOGUE, AGENT_SYNC_WRITE_BACK_TO).
    concurrency: agents in work at once. page_size: agents in memory at once.
    """

    default_model: str = "openai:gpt-4o"
    tool_names: Literal["tools", "servers"] = "tools"
    write_back: bool = True
    scope: AgentSyncScope = field(default_factory=AgentSyncScope)
    templates: bool = False
    source: CatalogueSource = STANDARD
    concurrency: int = 8
    page_size: int = 500


DEFAULT_OPTIONS = AgentSyncOptions()
