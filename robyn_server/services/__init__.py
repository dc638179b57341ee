"""Use cases: one decision, one transaction each. They take a principal and core values, and know neither HTTP nor LangGraph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from robyn_server.registry import ConfigurationService, InstanceService, ManifestService, Tenants
from robyn_server.registry.protocols import InstanceWatch

from .agent_sync import AgentSyncService
from .api_keys import ApiKeyService
from .assistants import AssistantService
from .metrics import MetricsService
from .runs import RunService
from .threads import ThreadService
from .tickets import TicketService


@dataclass(frozen=True, slots=True)
class Services:
    """What every route is given."""

    assistants: AssistantService
    threads: ThreadService
    runs: RunService
    agent_sync: AgentSyncService
    keys: ApiKeyService
    metrics: MetricsService
    tickets: TicketService
    instances: InstanceService
    manifests: ManifestService
    configurations: ConfigurationService
    tenants: Tenants
    watch: InstanceWatch
    check_database: Callable[[], Awaitable[None]]
    """Raises Unavailable when the database does not answer."""
