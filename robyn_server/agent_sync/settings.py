"""What the settings of agent sync say, as values. Every function raises Misconfigured naming the variable.

They take texts, not Settings: the doctor tells of each variable for itself, whatever is wrong with others.
"""

from __future__ import annotations

from robyn_server.core.catalogue import AgentSource
from robyn_server.core.errors import Misconfigured

from .scope import AgentSyncScope, parse_agent_sync_scope
from .source import CatalogueSource, parse_agent_sources, parse_catalogue_source


def configured_scope(text: str) -> AgentSyncScope:
    """AGENT_SYNC_SCOPE."""
    try:
        return parse_agent_sync_scope(text)
    except ValueError as error:
        raise Misconfigured(f"AGENT_SYNC_SCOPE: {error}", field="AGENT_SYNC_SCOPE") from None


def configured_sources(text: str) -> tuple[AgentSource, ...]:
    """AGENT_SYNC_SOURCES."""
    try:
        return parse_agent_sources(text)
    except ValueError as error:
        raise Misconfigured(str(error), field="AGENT_SYNC_SOURCES") from None


def configured_catalogue(catalogue: str, write_back: str) -> CatalogueSource:
    """AGENT_SYNC_CATALOGUE and AGENT_SYNC_WRITE_BACK_TO."""
    try:
        return parse_catalogue_source(catalogue, write_back)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
