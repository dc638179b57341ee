"""Agent sync keeps assistants equal to the catalogue: in bulk at boot, and one at a time on first reference.

Rules
  1. A problem is always visible: an error to the caller, a counter, a reason in the ledger. Never a bare default agent.
  2. One agent's trouble is one failure. The others are untouched.
  3. The catalogue is somebody else's: it is read through one contract, and one column of it is written, best effort.
  4. An agent within its TTL costs no query to the catalogue. A skip renews the TTL and writes no assistant.
  5. Replicas need no leader: whoever loses a race looks again and finds the work done.
"""

from __future__ import annotations

from .catalogue import fetch_active_agent_by_id, fetch_active_agents
from .changed import sync_changed_agents
from .configurations import CONFIGURATIONS, CONFIGURATIONS_CHANNEL, options_of_configurations
from .contract import CatalogueContract, probe_catalogue
from .dry_run import absent_agents, count_active_agents, count_copied_templates, plan_agent_sync, plan_sync_of_agent
from .edits import Edits, RecentEdits, is_feed_installed
from .errors import AgentRejected
from .install import catalogue_grants_sql, catalogue_view_sql
from .lazy import lazy_sync_agent
from .misses import Misses
from .model import AgentSyncData, AgentSyncMcpTool, AgentSyncResult
from .on_request import sync_agent_on_request
from .options import AgentSyncOptions
from .payload import _assistant_payload_for_agent, _build_assistant_configurable
from .protocols import AgentSyncLedgerProtocol, AssistantStorageProtocol
from .retirement import retire_absent_agents
from .scope import AgentSyncScope, parse_agent_sync_scope
from .single import sync_single_agent
from .source import CatalogueSource, name_of_source, parse_agent_sources, parse_catalogue_source
from .startup import startup_agent_sync
from .write_back import _write_back_langgraph_assistant_id, retry_write_backs

__all__ = [
    "CONFIGURATIONS",
    "CONFIGURATIONS_CHANNEL",
    "AgentRejected",
    "AgentSyncData",
    "AgentSyncLedgerProtocol",
    "AgentSyncMcpTool",
    "AgentSyncOptions",
    "AgentSyncResult",
    "AgentSyncScope",
    "AssistantStorageProtocol",
    "CatalogueContract",
    "CatalogueSource",
    "Edits",
    "Misses",
    "RecentEdits",
    "_assistant_payload_for_agent",
    "_build_assistant_configurable",
    "_write_back_langgraph_assistant_id",
    "absent_agents",
    "catalogue_grants_sql",
    "catalogue_view_sql",
    "count_active_agents",
    "count_copied_templates",
    "fetch_active_agent_by_id",
    "fetch_active_agents",
    "is_feed_installed",
    "lazy_sync_agent",
    "name_of_source",
    "options_of_configurations",
    "parse_agent_sources",
    "parse_agent_sync_scope",
    "parse_catalogue_source",
    "plan_agent_sync",
    "plan_sync_of_agent",
    "probe_catalogue",
    "retire_absent_agents",
    "retry_write_backs",
    "startup_agent_sync",
    "sync_agent_on_request",
    "sync_changed_agents",
    "sync_single_agent",
]
