"""The servers that the benchmark measures: a PostgreSQL with durable commits, a web process and a sockets process."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from databases import fresh_database, make_template
from servers.live_server import LiveServer, Process, accepts, free_port, live_server, until

from robyn_server.storage.postgres.pools import Pool, open_pool
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

from .cpu_time import CpuTime

TENANT = UUID(int=1)
CROWD_SIZE = 100_000
QUOTA = 100 * CROWD_SIZE
RARE_COUNT = 10
"""Instances of the crowd that have the capability `rare`."""

_FILL = """
insert into mcp.agent_manifests (agent_id) values ('crowd') on conflict do nothing;
insert into mcp.agent_configurations (tenant_id, manifest_id, name)
select '{tenant}', id, 'crowd' from mcp.agent_manifests where agent_id = 'crowd';
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, capabilities)
select c.tenant_id, c.manifest_id, 'crowd', 'crowd-' || n, 'x',
       case when n % ({crowd} / {rare}) = 0 then array['search', 'rare'] else array['search', 'c' || n % 50] end
  from mcp.agent_configurations c join mcp.agent_manifests m on m.id = c.manifest_id and m.agent_id = 'crowd',
       generate_series(1, {crowd}) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select id, tenant_id, manifest_id, 1, now() + interval '1 day', now(), interval '1 day' from mcp.agent_instances
 where agent_id = 'crowd';
"""


@dataclass(slots=True)
class Environment:
    url: str
    server: LiveServer
    sockets: Process
    sockets_port: int
    database: Pool
    """Opened as the server opens its pools, with the rights of the login."""
    postgres_pid: int

    @property
    def http_port(self) -> int:
        return int(self.server.port)

    async def fill(self) -> None:
        """Insert CROWD_SIZE live instances with long leases."""
        await self.database.execute(_FILL.format(tenant=TENANT, crowd=CROWD_SIZE, rare=RARE_COUNT))
        await self.database.execute("vacuum analyze")

    def cpu_time(self) -> CpuTime:
        return CpuTime.measure(
            postgres=self.postgres_pid, web=self.server.webs[0].popen.pid, sockets=self.sockets.popen.pid
        )

    def sockets_memory(self) -> tuple[float, float]:
        """PSS and RSS of the sockets process, in MB."""
        lines = Path(f"/proc/{self.sockets.popen.pid}/smaps_rollup").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
        return found["Pss"], found["Rss"]


@contextlib.asynccontextmanager
async def open_environment() -> AsyncIterator[Environment]:
    folder = Path(tempfile.mkdtemp(prefix="agenthall-registry-"))
    options = {"max_connections": "200", "fsync": "on", "synchronous_commit": "on", "max_wal_size": "1GB"}
    postgres = EmbeddedPostgres(folder / "postgres", options=options)
    try:
        url = postgres.start()
        async with (
            fresh_database(url, await make_template(url)) as database,
            _processes(database, folder, postgres.pid or 0) as found,
        ):
            yield found
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def _processes(url: str, folder: Path, postgres_pid: int) -> AsyncIterator[Environment]:
    port = free_port()
    settings = {
        "AGENTHALL_SOCKETS_PORT": str(port),
        "AGENTHALL_DEV_TENANT": str(TENANT),
        "AGENTHALL_MAX_STREAMS": "2000",
        "AGENTHALL_LOG_LEVEL": "WARNING",
        "AGENTHALL_HEARTBEAT": "5",
        "AGENTHALL_MAX_INSTANCES": str(QUOTA),
    }
    async with live_server(url, workers=0, **settings) as server, contextlib.AsyncExitStack() as closing:
        pool = await open_pool(url, None, size=16, name="benchmark", session={"mcp.max_instances": QUOTA})
        closing.push_async_callback(pool.close)
        sockets = Process("sockets", server.environment, folder / "sockets.log")
        try:
            await until(lambda: _listens(port, sockets))
            yield Environment(url, server, sockets, port, pool, postgres_pid)
        finally:
            sockets.kill()
            sockets.popen.wait()


def _listens(port: int, process: Process) -> bool:
    assert process.popen.poll() is None, process.read_log()[-3000:]
    return bool(accepts(port))


def child_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
