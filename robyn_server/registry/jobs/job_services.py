"""The services of jobs in a process that talks to instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from robyn_server.core.registry.jobs import JobRef
from robyn_server.registry.instances.bound_agents import BoundAgents
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.jobs.assigned import AssignedJobs
from robyn_server.storage.registry.jobs.jobs import OFFERS, Jobs
from robyn_server.storage.registry.jobs.messages import JobMessages

from .announcer import JobAnnouncer
from .event_batcher import EventBatcher
from .instance_jobs import InstanceJobService
from .lease_extender import LeaseExtender
from .offers.dispatcher import JobDispatcher
from .offers.notice_reader import NoticeReader, NoticeTarget


class JobServices:
    """`app` runs as agenthall_app, `system` as agenthall_system. The caller closes them, and starts the notifier.

    `max_offer_bytes`: of the input of an offer; None: any. Stop it after the server that receives messages, so that
    those which were received are stored.
    """

    def __init__(
        self, app: Pool, system: Pool, notifier: Notifier, target: NoticeTarget, max_offer_bytes: int | None = None
    ) -> None:
        self.jobs = Jobs(app)
        self.messages = JobMessages(system)
        self.bound = BoundAgents(Instances(app))
        self.notices = NoticeReader(AssignedJobs(system), target, self._reject, max_offer_bytes)
        self.announcer = JobAnnouncer(notifier, self.notices.wake_ids)
        self.dispatcher = JobDispatcher(self.messages, self.announcer)
        self.events = EventBatcher(self.messages, self.announcer)
        self.extender = LeaseExtender(self.messages)
        self.instance_jobs = InstanceJobService(self.jobs, self.bound, self.events, self.extender, self.announcer)

    async def _reject(self, ref: JobRef, reason: str) -> None:
        _, offered = await self.jobs.reject(ref, reason)
        self.announcer.offered(offered)

    @property
    def channels(self) -> Mapping[str, Callable[[str], None]]:
        """Handlers of notifications, for the process's listener.

        It also calls `notices.wake_all` after it has (re)connected.
        """
        return {OFFERS: self.notices.wake}

    def start(self) -> None:
        for each in (self.events, self.extender, self.dispatcher, self.notices):
            each.start()

    async def stop(self) -> None:
        for each in (self.notices, self.dispatcher, self.extender, self.events):
            await each.stop()
