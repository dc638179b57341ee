"""Options of agent sync, from the settings. Raises Misconfigured naming the variable."""

from __future__ import annotations

from robyn_server.agent_sync import AgentSyncOptions, CatalogueSource
from robyn_server.agent_sync.options import configured_catalogue, configured_sources
from robyn_server.agent_sync.options import configured_scope as parse_scope
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.settings import Settings

__all__ = ["check_settings", "parse_scope", "parse_source", "parse_sources", "sync_options"]


def parse_sources(settings: Settings) -> tuple[AgentSource, ...]:
    """Return the sources of agents."""
    return configured_sources(settings.agent_sync_sources)


def parse_source(settings: Settings) -> CatalogueSource:
    """Return the tables or the view of the catalogue."""
    return configured_catalogue(settings.agent_sync_catalogue, settings.agent_sync_write_back_to)


def sync_options(settings: Settings) -> AgentSyncOptions:
    return AgentSyncOptions(
        default_model=settings.default_model,
        tool_names="servers" if settings.mcp_tool_names == "servers" else "tools",
        write_back=settings.agent_sync_write_back,
        templates=settings.agent_sync_templates == "on",
        scope=parse_scope(settings.agent_sync_scope),
        source=parse_source(settings),
    )


def check_settings(settings: Settings) -> None:
    """Validate the settings before anything starts. Raises Misconfigured."""
    sync_options(settings)
    parse_sources(settings)
    _ = settings.dsn
