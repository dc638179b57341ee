"""A server to which bots dial in, and rows of many instances, for tests of the console."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from agenthall_client import AgentInstance, Timing
from databases import fresh_database
from servers.live_server import LiveServer, free_port, live_server
from servers.sockets_process import SocketsProcess

ORGANIZATION = "0a000000-0000-4000-8000-0000000000f1"
OTHER_ORGANIZATION = "0b000000-0000-4000-8000-0000000000f2"
_TIMING = Timing(keepalive=2.0, backoff_first=0.05, backoff_most=0.5)
_FILL = """
with manifests as (
  insert into mcp.agent_manifests (agent_id) select $2 || '-' || n from generate_series(0, $4 - 1) n
  returning id, agent_id),
configurations as (
  insert into mcp.agent_configurations (tenant_id, manifest_id, name) select $1, id, agent_id from manifests
  returning manifest_id, name)
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, version, zone)
select $1, c.manifest_id, c.name, c.name || '-' || n, 'filled', '1.' || n % 3, 'zone-' || n % 4
  from configurations c cross join generate_series(1, $3::integer / $4) n
"""
_LEASES = """
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select i.id, i.tenant_id, i.manifest_id, i.epoch, now() + $3::interval, now(), '1 day'
  from mcp.agent_instances i where i.tenant_id = $1 and i.agent_id like $2 || '-%'
"""


_JOBS = """
insert into mcp.agent_jobs (id, tenant_id, manifest_id, agent_id, registration_id, instance_id, state, input,
                            created_at, ended_at)
select gen_random_uuid(), i.tenant_id, i.manifest_id, i.agent_id, i.id, i.instance_id, 'succeeded', '{}',
       now() - n * interval '1 second', now()
  from mcp.agent_instances i, generate_series(1, $2) n where i.id = $1
"""


@dataclass(frozen=True, slots=True)
class FleetServer:
    live: LiveServer
    sockets: SocketsProcess

    @property
    def url(self) -> str:
        return self.live.url

    def instance(self, agent_id: str, instance_id: str, **options: Any) -> AgentInstance:
        """An instance of ORGANIZATION that dials in when it is entered."""
        return AgentInstance(agent_id, url=self.sockets.url, instance_id=instance_id, timing=_TIMING, **options)

    async def fill(self, prefix: str, instances: int, agents: int = 1, lease: str = "1 day") -> None:
        """Insert instances of ORGANIZATION, with leases that last so long. Agents are prefix-0, prefix-1 and so on."""
        connection = await asyncpg.connect(self.live.database)
        try:
            await connection.execute(_FILL, UUID(ORGANIZATION), prefix, instances, agents)
            await connection.execute(_LEASES.replace("$3", f"'{lease}'"), UUID(ORGANIZATION), prefix)
        finally:
            await connection.close()

    async def remove(self, prefix: str) -> None:
        connection = await asyncpg.connect(self.live.database)
        try:
            await connection.execute("delete from mcp.agent_configurations where name like $1 || '-%'", prefix)
        finally:
            await connection.close()

    async def add_ended_jobs(self, registration_id: str | None, jobs: int) -> None:
        """Insert jobs that the instance has done, each a second older than the one before."""
        connection = await asyncpg.connect(self.live.database)
        try:
            await connection.execute(_JOBS, UUID(registration_id), jobs)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def open_fleet_server(postgres: str, template: str, folder: Path) -> AsyncIterator[FleetServer]:
    port = free_port()
    settings = {
        "AGENTHALL_SOCKETS_PORT": str(port),
        "AGENTHALL_DEV_TENANT": ORGANIZATION,
        "AGENTHALL_HEALTH_CHECK": "1",
        "AGENTHALL_GRAFANA_URL": "https://grafana.example/d/agenthall",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as live:
        sockets = SocketsProcess(live.environment, folder / "sockets.log", port)
        try:
            await sockets.ready()
            yield FleetServer(live, sockets)
        finally:
            sockets.kill()
            sockets.popen.wait()
