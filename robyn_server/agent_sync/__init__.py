"""Keep assistants equal to the catalogue: in bulk at boot, one at a time on first reference, and after each edit.

Rules
  1. A problem is always visible: an error to the caller, a counter, a reason in the ledger. Never a bare default agent.
  2. A problem of one agent is one failure. The others are untouched.
  3. The catalogue belongs to the product: it is read through one contract, and one column of it is written, best
     effort.
  4. An agent within its TTL costs no query to the catalogue. A skip renews the TTL and writes no assistant.
  5. No leader election: a replica that loses a race reads again and has nothing left to do.

Entry points, each in a module of `engine`: `lazy_sync_agent` (a reference), `sync_changed_agents` and
`sync_named_agent` (ids), `startup_agent_sync` and `retire_absent_agents` (a whole scope), `plan_agent_sync` (a dry
run). All of them decide by `engine/single.py` and write through one `SyncStore`.
"""

from __future__ import annotations

from robyn_server.agent_sync.catalogue_db.contract import CatalogueContract, probe_catalogue
from robyn_server.agent_sync.catalogue_db.install import catalogue_grants_sql, catalogue_view_sql
from robyn_server.agent_sync.catalogue_db.reader import fetch_active_agent_by_id, fetch_active_agents
from robyn_server.agent_sync.catalogue_db.recent_edits import EditPoller, Edits, is_feed_installed
from robyn_server.agent_sync.catalogue_db.source import (
    CatalogueSource,
    name_of_source,
    parse_agent_sources,
    parse_catalogue_source,
)
from robyn_server.agent_sync.engine.full_pass import startup_agent_sync
from robyn_server.agent_sync.engine.lazy import lazy_sync_agent
from robyn_server.agent_sync.engine.named_agents import sync_changed_agents, sync_named_agent
from robyn_server.agent_sync.engine.negative_cache import NegativeCache
from robyn_server.agent_sync.engine.plan import find_absent_agents, plan_agent_sync, plan_named_agent
from robyn_server.agent_sync.engine.retirement import (
    count_active_agents,
    count_copied_templates,
    forget_source,
    retire_absent_agents,
)
from robyn_server.agent_sync.engine.single import sync_single_agent
from robyn_server.agent_sync.engine.sync_log import SyncLog
from robyn_server.agent_sync.engine.write_back import (
    _write_back_langgraph_assistant_id,
    may_write_back,
    retry_page,
    retry_write_backs,
)
from robyn_server.core.errors import CatalogueUnavailable, Conflict, Unavailable

from .errors import AgentRejected
from .logs import log_to_host
from .mapping import _assistant_payload_for_agent, _build_assistant_configurable
from .model import AgentSyncData, AgentSyncMcpTool, AgentSyncResult
from .options import CONFIGURATIONS, CONFIGURATIONS_CHANNEL, AgentSyncOptions, options_of_configurations
from .scope import AgentSyncScope, parse_agent_sync_scope
from .store import AssistantStorageProtocol, SyncStore

__all__ = [
    "CONFIGURATIONS",
    "CONFIGURATIONS_CHANNEL",
    "AgentRejected",
    "AgentSyncData",
    "AgentSyncMcpTool",
    "AgentSyncOptions",
    "AgentSyncResult",
    "AgentSyncScope",
    "AssistantStorageProtocol",
    "CatalogueContract",
    "CatalogueSource",
    "CatalogueUnavailable",
    "Conflict",
    "EditPoller",
    "Edits",
    "NegativeCache",
    "SyncLog",
    "SyncStore",
    "Unavailable",
    "_assistant_payload_for_agent",
    "_build_assistant_configurable",
    "_write_back_langgraph_assistant_id",
    "catalogue_grants_sql",
    "catalogue_view_sql",
    "count_active_agents",
    "count_copied_templates",
    "fetch_active_agent_by_id",
    "fetch_active_agents",
    "find_absent_agents",
    "forget_source",
    "is_feed_installed",
    "lazy_sync_agent",
    "may_write_back",
    "name_of_source",
    "options_of_configurations",
    "parse_agent_sources",
    "parse_agent_sync_scope",
    "parse_catalogue_source",
    "plan_agent_sync",
    "plan_named_agent",
    "probe_catalogue",
    "retire_absent_agents",
    "retry_page",
    "retry_write_backs",
    "startup_agent_sync",
    "sync_changed_agents",
    "sync_named_agent",
    "sync_single_agent",
]

log_to_host()
