"""Instances and their leases in a real database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from databases import open_pools

from robyn_server.core.registry.instances import Heartbeat, Registration, RegistrationRequest
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.instances.leases import Leases

ORG_1, ORG_2 = UUID(int=1), UUID(int=2)
_CLEAR = """
truncate mcp.agent_leases, mcp.agent_search_terms, mcp.agent_instances, mcp.agent_brakes, mcp.agent_configurations,
  mcp.agent_manifests, mcp.lease_keepers, mcp.agent_event_inbox, mcp.agent_events, mcp.agent_slots, mcp.agent_jobs,
  mcp.agent_job_offers, mcp.agent_job_events, mcp.agent_affinities, mcp.agent_instance_history,
  mcp.agent_job_counts, mcp.agent_checks restart identity;
update mcp.agent_event_log set lowest = 1, last = 0;
update mcp.lease_pace set interval_seconds = 0, ttl_seconds = 0, live = 0, updated_at = '2000-01-01'
"""


@dataclass(slots=True)
class LeaseDatabase:
    """`system`: a pool as agenthall_system. `owner`: a pool with the rights of the login."""

    url: str
    instances: Instances
    leases: Leases
    system: Pool
    owner: Pool

    async def register(
        self,
        instance_id: str = "i",
        tenant: UUID = ORG_1,
        keeper: UUID | None = None,
        agent_id: str = "ide",
        **more: Any,
    ) -> Registration:
        asked = RegistrationRequest(agent_id=agent_id, instance_id=instance_id, **more)
        return await self.instances.register(tenant, asked, registered_by="test", keeper_id=keeper)

    async def register_many(self, count: int, keeper: UUID | None = None, tenant: UUID = ORG_1) -> list[Registration]:
        return [await self.register(f"i{number}", tenant, keeper) for number in range(count)]

    async def get_lease(self, of: Registration) -> Any:
        return await self.owner.fetchrow(
            "select * from mcp.agent_leases where registration_id = $1", of.registration_id
        )

    async def now(self) -> datetime:
        found: datetime = await self.owner.fetchval("select clock_timestamp()")
        return found

    async def later(self, seconds: float) -> datetime:
        return await self.now() + timedelta(seconds=seconds)

    async def count_active(self, at: datetime) -> int:
        count: int = await self.owner.fetchval(
            "select count(*) from mcp.agent_registrations_at($1) where registration_status = 'active'", at
        )
        return count

    async def event_kinds(self) -> list[str]:
        await self.leases.publish_events(1000)
        return [row["kind"] for row in await self.owner.fetch("select kind from mcp.agent_events order by position")]

    async def clear(self) -> None:
        await self.owner.execute(_CLEAR)


def heartbeat_of(registered: Registration, tenant: UUID = ORG_1, **more: Any) -> Heartbeat:
    return Heartbeat(tenant, registered.registration_id, more.pop("epoch", registered.epoch), **more)


@contextlib.asynccontextmanager
async def open_lease_database(url: str) -> AsyncIterator[LeaseDatabase]:
    async with open_pools(url) as (app, system, owner):
        yield LeaseDatabase(url, Instances(app), Leases(system), system, owner)
