"""Configurations of the registry as a second source of agents: AGENT_SYNC_SOURCES.

What a tenant has set for a type of agent (model, prompt, temperature, tokens) is all that an assistant needs: the type can be run here
as well as dialled in.

Rules
  1. It is the same projection with another reader: the contract's view over the registry (migrations/0015_agent_sources.sql), in the
     server's own database. The assistant has the configuration's id, its organisation is the tenant.
  2. A source never changes, retires or clears what came from the other. An id that both have is served by the one that was
     first, and is a failure of the other.
  3. A configuration without a model and without a prompt is none of ours: a registration makes such, and it would be a bare default agent.
  4. Nothing is written back, and no configuration is a template.
"""

from __future__ import annotations

from dataclasses import replace

from robyn_server.core.catalogue import AgentSource

from .options import AgentSyncOptions
from .source import CONFIGURED, CatalogueSource

CONFIGURATIONS = CatalogueSource(view=CONFIGURED, origin=AgentSource.CONFIGURATION)

CONFIGURATIONS_CHANNEL = "agenthall_configurations"
"""Payload: ids of configurations, comma separated, or `*`."""


def options_of_configurations(options: AgentSyncOptions) -> AgentSyncOptions:
    """How configurations are synced where the catalogue is synced with `options`: the same scope and default model."""
    return replace(options, source=CONFIGURATIONS, write_back=False, templates=False)
