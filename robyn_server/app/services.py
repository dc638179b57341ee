"""The services of a web process, made of what is open."""

from __future__ import annotations

from dataclasses import dataclass

from robyn_server.graphs.loading import Graphs
from robyn_server.graphs.states import States
from robyn_server.registry import ConfigurationService, InstanceService, ManifestService, Tenants
from robyn_server.runtime.agent_sources import AgentSources
from robyn_server.runtime.channels import RUNS, Notifier
from robyn_server.runtime.event_feed import EventFeed
from robyn_server.runtime.leasehold import Leasehold
from robyn_server.runtime.sourced_operations import SourcedOperations
from robyn_server.services import Services
from robyn_server.services.agent_sync import AgentSyncService
from robyn_server.services.api_keys import ApiKeyService
from robyn_server.services.assistants import AssistantService
from robyn_server.services.metrics import MetricsService
from robyn_server.services.runs import RunService
from robyn_server.services.threads import ThreadService
from robyn_server.services.tickets import TicketService
from robyn_server.settings import Settings
from robyn_server.storage.api_keys import ApiKeys
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.configurations import Configurations
from robyn_server.storage.database import Pool
from robyn_server.storage.errors import translated
from robyn_server.storage.instances import Instances
from robyn_server.storage.manifests import Manifests
from robyn_server.storage.runs import RunQueue, Runs
from robyn_server.storage.socket_tickets import SocketTickets
from robyn_server.storage.threads import Threads

_ANSWER_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the services stand on. `app` works as agenthall_app, `system` as agenthall_system."""

    app: Pool
    system: Pool
    graphs: Graphs
    states: States
    queue: RunQueue
    feed: EventFeed
    notifier: Notifier
    sources: AgentSources
    operations: SourcedOperations
    leasehold: Leasehold


class _Wake:
    """Tells workers through the database."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def run_enqueued(self) -> None:
        self._notifier.notify(RUNS)

    def run_cancelled(self) -> None:
        self._notifier.notify(RUNS, ["cancel"])


def make_services(settings: Settings, on: Ground) -> Services:
    app, system, queue, leasehold = on.app, on.system, on.queue, on.leasehold
    assistants = AssistantService(Assistants(app), on.graphs, on.sources)
    threads, tenants, wake = Threads(app), Tenants(settings.dev_tenant), _Wake(on.notifier)
    return Services(
        assistants=assistants,
        threads=ThreadService(threads, on.states),
        runs=RunService(Runs(app), queue, threads, assistants, on.feed, wake, max_attempts=settings.run_max_attempts),
        agent_sync=AgentSyncService(on.operations),
        keys=ApiKeyService(ApiKeys(system)),
        metrics=MetricsService(queue, leasehold.leases),
        tickets=TicketService(SocketTickets(system)),
        instances=InstanceService(Instances(app), leasehold.keeper, leasehold.wake_all),
        manifests=ManifestService(Manifests(app, system), tenants),
        configurations=ConfigurationService(Configurations(app), leasehold.wake_all),
        tenants=tenants,
        watch=leasehold.watch,
        check_database=lambda: _answers(app),
    )


async def _answers(pool: Pool) -> None:
    async with translated():
        await pool.fetchval("select 1", timeout=_ANSWER_SECONDS)
