"""Use cases of the API: one decision and one transaction each.

They take a principal and core values, and know neither HTTP nor LangGraph.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from robyn_server.identity.api_keys import ApiKeyService
from robyn_server.identity.tickets import TicketService
from robyn_server.registry import (
    BrakeService,
    ConfigurationService,
    CordonService,
    InstanceHistoryService,
    InstanceService,
    ManifestService,
    OrganizationSelector,
    ScalingService,
)
from robyn_server.registry.jobs.instance_jobs import InstanceJobService
from robyn_server.registry.jobs.offers.polls import JobPollService
from robyn_server.registry.jobs.operations import JobOperations
from robyn_server.registry.leases.event_broker import InstanceEventBroker

from .agent_sync import AgentSyncService
from .assistants.graphs import AssistantGraphService
from .assistants.service import AssistantService
from .assistants.tools import AssistantToolService
from .assistants.versions import AssistantVersionService
from .audit import AuditService
from .caller import CallerService
from .connections import ConnectionService
from .monitoring.doctor import DoctorService
from .monitoring.metrics import MetricsService
from .monitoring.overview import OverviewService
from .runs.search import RunSearchService
from .runs.service import RunService
from .runs.timeline import RunTimelineService
from .store import StoreService
from .thread_streams import ThreadStreamService
from .threads import ThreadService


@dataclass(frozen=True, slots=True)
class Services:
    """The services that every route gets."""

    assistants: AssistantService
    assistant_versions: AssistantVersionService
    assistant_graphs: AssistantGraphService
    assistant_tools: AssistantToolService
    threads: ThreadService
    runs: RunService
    run_search: RunSearchService
    run_timeline: RunTimelineService
    thread_streams: ThreadStreamService
    store: StoreService
    agent_sync: AgentSyncService
    keys: ApiKeyService
    audit: AuditService
    caller: CallerService
    connections: ConnectionService
    metrics: MetricsService
    overview: OverviewService
    doctor: DoctorService
    tickets: TicketService
    instances: InstanceService
    instance_histories: InstanceHistoryService
    manifests: ManifestService
    configurations: ConfigurationService
    cordons: CordonService
    instance_jobs: InstanceJobService
    job_polls: JobPollService
    jobs: JobOperations
    brakes: BrakeService
    scaling: ScalingService
    select_organization: OrganizationSelector
    instance_events: InstanceEventBroker
    check_database: Callable[[], Awaitable[None]]
    """Raises Unavailable when the database does not answer."""
