"""Construction of the services of a web process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robyn_server.agent_sync.live.sources import AgentSources, MultiSourceOperations
from robyn_server.graphs.embeddings import ItemEmbedder
from robyn_server.graphs.introspection import GraphIntrospection
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.graphs.thread_states import ThreadStates
from robyn_server.graphs.topologies import Topologies
from robyn_server.identity.api_keys import ApiKeyService
from robyn_server.identity.tickets import TicketService
from robyn_server.metrics.store import DIRECTORY as METRICS_DIRECTORY
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
from robyn_server.registry.jobs.job_services import JobServices
from robyn_server.registry.jobs.offers.polls import JobPollService, PollWaiters
from robyn_server.registry.jobs.operations import JobOperations
from robyn_server.registry.leases.lease_services import LeaseServices
from robyn_server.run_events.feeds import RunEventFeeds
from robyn_server.run_events.thread_runs import ThreadRunFinder
from robyn_server.services import Services
from robyn_server.services.agent_sync import AgentSyncService
from robyn_server.services.assistants.graphs import AssistantGraphService
from robyn_server.services.assistants.names import AssistantNames
from robyn_server.services.assistants.service import AssistantService
from robyn_server.services.assistants.tools import AssistantToolService
from robyn_server.services.assistants.versions import AssistantVersionService
from robyn_server.services.audit import AuditService
from robyn_server.services.caller import CallerService
from robyn_server.services.models import AllowedModels
from robyn_server.services.monitoring.doctor import DoctorCommand, DoctorService
from robyn_server.services.monitoring.metrics import MetricsService
from robyn_server.services.monitoring.overview import OverviewService
from robyn_server.services.runs.search import RunSearchService
from robyn_server.services.runs.service import RunService
from robyn_server.services.runs.timeline import RunTimelineService
from robyn_server.services.store import StoreService
from robyn_server.services.thread_streams import ThreadStreamService
from robyn_server.services.threads import ThreadService
from robyn_server.settings import Settings
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.assistant_versions import AssistantVersions
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.audit_log import AuditLog
from robyn_server.storage.operations.metrics_history import MetricsHistory
from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.registry.agent_names import AgentNames
from robyn_server.storage.registry.brakes import Brakes
from robyn_server.storage.registry.configurations import Configurations
from robyn_server.storage.registry.instances.history import InstanceHistories
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.jobs.lists import JobLists
from robyn_server.storage.registry.manifests import Manifests
from robyn_server.storage.registry.scaling import Scaling
from robyn_server.storage.registry.tickets import SocketTickets
from robyn_server.storage.runs.queue import RunQueue
from robyn_server.storage.runs.runs import Runs
from robyn_server.storage.runs.search import RunSearch
from robyn_server.storage.runs.timeline import RunTimelines
from robyn_server.storage.store.items import StoreItems
from robyn_server.storage.threads import Threads

from .parts.credentials import make_caller_tokens, make_connection_service, make_finder

if TYPE_CHECKING:
    from robyn_server.tracing.queue_spans import EnqueueSpans

_CHECK_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDependencies:
    """Everything that the services need. Pool `app` uses the role agenthall_app, `system` agenthall_system."""

    app: Pool
    system: Pool
    graphs: Graphs
    states: ThreadStates
    topologies: Topologies
    queue: RunQueue
    feed: RunEventFeeds
    finder: ThreadRunFinder
    notifier: Notifier
    sources: AgentSources
    operations: MultiSourceOperations
    lease_services: LeaseServices
    jobs: JobServices
    poll_waiters: PollWaiters
    enqueue_spans: EnqueueSpans | None = None


def make_services(settings: Settings, dependencies: ServiceDependencies) -> Services:
    app, system, queue = dependencies.app, dependencies.system, dependencies.queue
    lease_services, jobs = dependencies.lease_services, dependencies.jobs
    models = AllowedModels(settings.default_model, settings.allowed_models)
    stored_assistants = Assistants(app)
    names = AssistantNames(AgentNames(app), dependencies.graphs, settings.dev_tenant)
    assistants = AssistantService(stored_assistants, dependencies.graphs, models, dependencies.sources, names)
    threads, select_organization = Threads(app), OrganizationSelector(settings.dev_tenant)
    return Services(
        assistants=assistants,
        assistant_versions=AssistantVersionService(AssistantVersions(app), stored_assistants, assistants, models),
        assistant_graphs=AssistantGraphService(assistants, GraphIntrospection(dependencies.topologies)),
        assistant_tools=AssistantToolService(assistants, stored_assistants, make_finder(settings, system)),
        threads=ThreadService(threads, dependencies.states),
        runs=RunService(
            Runs(app, settings.pending_limits),
            queue,
            threads,
            assistants,
            models,
            dependencies.feed,
            dependencies.notifier,
            max_attempts=settings.run_max_attempts,
            spans=dependencies.enqueue_spans,
            caller_tokens=make_caller_tokens(settings, system),
        ),
        run_search=RunSearchService(RunSearch(app)),
        run_timeline=RunTimelineService(RunSearch(app), RunTimelines(system)),
        thread_streams=ThreadStreamService(Runs(app), queue, threads, dependencies.feed, dependencies.finder),
        store=StoreService(StoreItems(app), _embedder(settings), settings.store_lifetimes),
        agent_sync=AgentSyncService(dependencies.operations),
        keys=ApiKeyService(ApiKeys(system)),
        audit=AuditService(AuditLog(app), select_organization),
        caller=CallerService(_auth_mode(settings), select_organization),
        connections=make_connection_service(settings, app, system),
        metrics=MetricsService(queue, lease_services.leases, Scaling(system)),
        overview=OverviewService(MetricsHistory(system), queue, dependencies.sources.report, settings.grafana_url),
        doctor=DoctorService(_doctor_command(settings)),
        tickets=TicketService(SocketTickets(system)),
        instances=InstanceService(
            Instances(app), lease_services.heartbeats, lease_services.events.wake_all, jobs.dispatcher.dispatch_after
        ),
        instance_histories=InstanceHistoryService(InstanceHistories(app)),
        manifests=ManifestService(Manifests(app, system), select_organization),
        configurations=ConfigurationService(Configurations(app), lease_services.events.wake_all),
        cordons=CordonService(Instances(app), lease_services.events.wake_all),
        instance_jobs=jobs.instance_jobs,
        job_polls=JobPollService(jobs.jobs, jobs.bound, dependencies.poll_waiters, jobs.announcer),
        jobs=JobOperations(jobs.jobs, JobLists(app), jobs.announcer),
        brakes=BrakeService(Brakes(app)),
        scaling=ScalingService(Scaling(app)),
        select_organization=select_organization,
        instance_events=lease_services.events,
        check_database=lambda: _check_database(app),
    )


def _auth_mode(settings: Settings) -> str:
    return settings.auth_mode.value if settings.auth_handlers is None else "handlers"


def _doctor_command(settings: Settings) -> DoctorCommand:
    """Return the command that checks this server, with its environment but for the directory of metrics."""
    where = ("--host", settings.host, "--port", str(settings.port), "--data-dir", str(settings.data_dir))
    kept = {name: value for name, value in os.environ.items() if name != METRICS_DIRECTORY}
    return DoctorCommand((sys.executable, "-m", "robyn_server", "doctor", "--json", *where), kept)


def _embedder(settings: Settings) -> ItemEmbedder | None:
    return None if settings.store_index is None else ItemEmbedder(settings.store_index)


async def _check_database(pool: Pool) -> None:
    async with translated():
        await pool.fetchval("select 1", timeout=_CHECK_SECONDS)
