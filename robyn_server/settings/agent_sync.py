"""Settings of agent sync."""

from __future__ import annotations

from datetime import timedelta

from pydantic import field_validator

from .field import env
from .part import SettingsPart


class AgentSyncSettings(SettingsPart):
    agent_sync_scope: str = env(
        "AGENT_SYNC_SCOPE", "none", "Agents to sync ahead of use: `none`, `all`, or `org:<uuid>[,org:<uuid>]`."
    )
    agent_sync_sources: str = env(
        "AGENT_SYNC_SOURCES",
        "catalogue",
        "Sources of agents: `catalogue`, `configurations` (the registry's), or `catalogue,configurations`.",
    )
    agent_sync_cache_ttl: float = env(
        "AGENT_SYNC_CACHE_TTL", 300.0, "Seconds that a synced agent counts as fresh.", ge=0
    )
    agent_sync_stale: float = env(
        "AGENT_SYNC_STALE", 3600.0, "Seconds that a synced agent is served while the catalogue does not answer.", ge=0
    )
    agent_sync_every: float = env("AGENT_SYNC_EVERY", 60.0, "Seconds between passes over the whole scope.", gt=0)
    agent_sync_poll: float = env(
        "AGENT_SYNC_POLL", 2.0, "Seconds between polls of updated_at, where no change feed reports edits.", gt=0
    )
    agent_sync_catalogue: str = env(
        "AGENT_SYNC_CATALOGUE", "tables", "`tables` (five in schema public), or your own view: `schema.view`."
    )
    agent_sync_write_back_to: str = env(
        "AGENT_SYNC_WRITE_BACK_TO",
        "public.agents.langgraph_assistant_id",
        "Column to write the assistant's id to: `schema.table.column`. The table's key is `id`.",
    )
    agent_sync_write_back: bool = env(
        "AGENT_SYNC_WRITE_BACK", True, "Write langgraph_assistant_id back to the catalogue."
    )
    agent_sync_templates: str = env(
        "AGENT_SYNC_TEMPLATES",
        "off",
        "`on`: an agent that is not `is_global` is a template, and each user has a private copy.",
    )
    mcp_tool_names: str = env(
        "AGENT_SYNC_TOOL_NAMES",
        "tools",
        "Meaning of the catalogue's tool_name: `tools`, or `servers` (all tools of the server).",
    )

    @field_validator("mcp_tool_names")
    @classmethod
    def _known_tool_names(cls, value: str) -> str:
        if value not in {"tools", "servers"}:
            raise ValueError("must be `tools` or `servers`")
        return value

    @field_validator("agent_sync_templates")
    @classmethod
    def _on_or_off(cls, value: str) -> str:
        known = {"on": "on", "true": "on", "off": "off", "false": "off"}
        if value.strip().lower() not in known:
            raise ValueError("must be `on` or `off`")
        return known[value.strip().lower()]

    @property
    def cache_ttl(self) -> timedelta:
        return timedelta(seconds=self.agent_sync_cache_ttl)
