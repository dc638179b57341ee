"""The registry's SQL functions with short calls for tests, on connections with the roles of the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from databases import fresh_database
from read_costs import fill

from robyn_server.storage.postgres.pools import Pool, Role, open_pool

ORG_1, ORG_2 = UUID(int=1), UUID(int=2)
Row: TypeAlias = "asyncpg.Record"
Number: TypeAlias = "int | float"
SEED_QUERY = """-- Get all active instances of an agent for a tenant
SELECT 
    ar.instance_id,
    ar.health_status,
    ar.last_health_check,
    ac.name as config_name
FROM mcp.agent_registrations ar
JOIN mcp.agent_configurations ac ON ac.manifest_id = ar.manifest_id
WHERE ar.tenant_id = $1
  AND ar.registration_status = 'active'
  AND ac.manifest_id = (
      SELECT id FROM mcp.agent_manifests WHERE agent_id = $2
  )"""  # noqa: W291  as it is written there
"""The seed's query, word for word; its parameters are a tenant and an agent_id."""


@dataclass(slots=True)
class RegistryDatabase:
    """`app` works as agenthall_app, `system` as agenthall_system, `owner` as the login."""

    url: str
    app: Pool
    system: Pool
    owner: Pool

    async def row(self, query: str, *arguments: Any) -> Row:
        found = await self.owner.fetchrow(query, *arguments)
        assert found is not None
        return found

    async def register(
        self, agent_id: str = "ide-agent", instance_id: str = "c1", tenant: UUID = ORG_1, **more: Any
    ) -> Row:
        """The seed's call; `more` are its further parameters by name."""
        names = "".join(f", {name} => ${number}" for number, name in enumerate(more, start=4))
        row = await self.app.fetchrow(
            f"select * from mcp.register_agent_instance($1, $2, $3, 'VS Code', '{{}}', '{{}}'{names})",
            tenant,
            agent_id,
            instance_id,
            *more.values(),
        )
        assert row is not None
        return row

    async def heartbeat(self, row: Row, tenant: UUID = ORG_1, epoch: int | None = None, **more: Any) -> str:
        names = "".join(f", {name} => ${number}" for number, name in enumerate(more, start=4))
        return str(
            await self.app.fetchval(
                f"select outcome from mcp.heartbeat_agent_instance($1, $2, $3{names})",
                tenant,
                row["registration_id"],
                row["epoch"] if epoch is None else epoch,
                *more.values(),
            )
        )

    async def end(self, verb: str, row: Row, last: Any = "why", epoch: int | None = None, tenant: UUID = ORG_1) -> str:
        """deregister, drain, or disconnect (`last`: its grace)."""
        epoch = row["epoch"] if epoch is None else epoch
        return str(
            await self.app.fetchval(
                f"select outcome from mcp.{verb}_agent_instance($1, $2, $3, $4)",
                tenant,
                row["registration_id"],
                epoch,
                last,
            )
        )

    async def sweep(self, at: datetime | None = None) -> Row:
        row = await self.system.fetchrow("select * from mcp.sweep_agent_instances($1)", at)
        assert row is not None
        return row

    async def get_statuses(self, row: Row, at: datetime | None = None) -> tuple[str, str]:
        """registration_status and health_status."""
        found = await self.owner.fetchrow(
            "select registration_status, health_status from mcp.agent_registrations_at(coalesce($2, clock_timestamp())) where id = $1",
            row["registration_id"],
            at,
        )
        assert found is not None
        return found[0], found[1]

    async def now(self) -> datetime:
        moment: datetime = await self.owner.fetchval("select clock_timestamp()")
        return moment

    async def later(self, seconds: Number) -> datetime:
        return await self.now() + timedelta(seconds=seconds)

    async def event_kinds(self) -> list[str]:
        """The kinds of all events, published, in order."""
        await self.system.execute("select mcp.publish_agent_events()")
        return [row["kind"] for row in await self.owner.fetch("select kind from mcp.agent_events order by position")]


@contextlib.asynccontextmanager
async def open_registry(url: str, size: int = 4) -> AsyncIterator[RegistryDatabase]:
    app = await open_pool(url, Role.APP, size=size, name="test app")
    system = await open_pool(url, Role.SYSTEM, size=4, name="test system")
    owner = await open_pool(url, None, size=4, name="test owner")
    try:
        yield RegistryDatabase(url, app, system, owner)
    finally:
        for pool in (app, system, owner):
            await pool.close()


@contextlib.asynccontextmanager
async def filled_registry(
    postgres: str, template: str, script: str, *, analysed: bool
) -> AsyncIterator[RegistryDatabase]:
    """A database of its own after the script, with the statistics of all its rows or with none, and it stays
    so."""
    async with fresh_database(postgres, template) as url, open_registry(url) as registry:
        for table in ("agent_instances", "agent_leases", "agent_search_terms"):
            await registry.owner.execute(f"alter table mcp.{table} set (autovacuum_enabled = off)")
        await fill(registry.owner, script)
        if analysed:
            await registry.owner.execute("analyze")
        yield registry


@contextlib.asynccontextmanager
async def acting_for(pool: Pool, tenant: UUID) -> AsyncIterator[Any]:
    """A transaction of one tenant."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select mcp.act_for($1)", tenant)
        yield connection
