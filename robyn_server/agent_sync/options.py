"""Options of a sync, and the settings that they come from.

Configurations of the registry are a second source of agents (AGENT_SYNC_SOURCES). A configuration has all that an
assistant needs: model, prompt, temperature and tokens. So a type of agent that an organization has configured can also
be run here.

Rules
  1. A configuration is mapped like an agent of the catalogue. It is read through a view over the registry
     (migrations/0015_agent_sources.sql) in the server's own database. The assistant has the configuration's id and
     organization.
  2. A source never changes, retires or clears what came from the other. An id that both have is served by the first
     one, and is a failure of the other.
  3. A configuration without a model and without a prompt is left out: a registration makes such, and it would be a bare
     default agent.
  4. Nothing is written back, and no configuration is a template.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from robyn_server.agent_sync.catalogue_db.source import (
    CONFIGURED,
    STANDARD,
    CatalogueSource,
    parse_agent_sources,
    parse_catalogue_source,
)
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.core.errors import Misconfigured

from .scope import AgentSyncScope, parse_agent_sync_scope


@dataclass(frozen=True, slots=True)
class AgentSyncOptions:
    """Options, most of them from settings.

    - default_model: the model of an agent without an engine (AGENTHALL_DEFAULT_MODEL).
    - tool_names: what the catalogue's `tool_name` holds (AGENT_SYNC_TOOL_NAMES): tools' names become allow-lists;
      servers' names allow all tools of the server.
    - write_back: whether `langgraph_assistant_id` is written (AGENT_SYNC_WRITE_BACK).
    - scope: AGENT_SYNC_SCOPE; with `none` a database without any catalogue is no error.
    - templates: whether an agent that is not global is a template, of which each user has a copy
      (AGENT_SYNC_TEMPLATES).
    - source: where the catalogue is read (AGENT_SYNC_CATALOGUE, AGENT_SYNC_WRITE_BACK_TO).
    - concurrency: agents that are synced at once.
    - page_size: agents in memory at once.
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

CONFIGURATIONS = CatalogueSource(view=CONFIGURED, origin=AgentSource.CONFIGURATION)

CONFIGURATIONS_CHANNEL = "agenthall_configurations"
"""Payload: ids of configurations, comma separated, or `*`."""


def options_of_configurations(options: AgentSyncOptions) -> AgentSyncOptions:
    """How configurations are synced where the catalogue is synced with `options`: the same scope and default model."""
    return replace(options, source=CONFIGURATIONS, write_back=False, templates=False)


# The functions below take texts, not Settings: the doctor reports each variable on its own, whatever is wrong with
# others.


def configured_scope(text: str) -> AgentSyncScope:
    """AGENT_SYNC_SCOPE as a value. Raises Misconfigured."""
    try:
        return parse_agent_sync_scope(text)
    except ValueError as error:
        raise Misconfigured(f"AGENT_SYNC_SCOPE: {error}", field="AGENT_SYNC_SCOPE") from None


def configured_sources(text: str) -> tuple[AgentSource, ...]:
    """AGENT_SYNC_SOURCES as a value. Raises Misconfigured."""
    try:
        return parse_agent_sources(text)
    except ValueError as error:
        raise Misconfigured(str(error), field="AGENT_SYNC_SOURCES") from None


def configured_catalogue(catalogue: str, write_back: str) -> CatalogueSource:
    """AGENT_SYNC_CATALOGUE and AGENT_SYNC_WRITE_BACK_TO as a value. Raises Misconfigured."""
    try:
        return parse_catalogue_source(catalogue, write_back)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
