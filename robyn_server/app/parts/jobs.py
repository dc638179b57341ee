"""The services of jobs in a process that talks to instances."""

from __future__ import annotations

from robyn_server.registry.jobs.job_services import JobServices
from robyn_server.registry.jobs.offers.notice_reader import NoticeTarget
from robyn_server.storage.postgres.notify import Notifier
from robyn_server.storage.postgres.pools import Pool

from .pools import Pools

_CONNECTIONS = 3
"""One for events, one for leases, and one for what instances are told: none waits for the others."""


async def open_job_services(
    pools: Pools, app: Pool, notifier: Notifier, target: NoticeTarget, kind: str, max_offer_bytes: int | None = None
) -> JobServices:
    """Raises Unavailable, Misconfigured."""
    system = await pools.system(f"agenthall {kind} jobs", _CONNECTIONS)
    return JobServices(app, system, notifier, target, max_offer_bytes)
