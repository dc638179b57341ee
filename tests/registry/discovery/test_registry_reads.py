"""The cost of a function does not grow with its organization, even with plans that were made for empty tables.

A pooled session keeps its plans. An organization's first thousand instances may be registered before an ANALYZE, or
long after.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from databases import fresh_database
from read_costs import fill
from registry_database import ORG_1, RegistryDatabase, open_registry
from servers.live_server import until

from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

ROWS = 3000
_MORE = f"""
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, capabilities)
select c.tenant_id, c.manifest_id, 'ide-agent', 'more-' || n, 'more', '{{search}}'
  from mcp.agent_configurations c, generate_series(1, {ROWS}) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select i.id, i.tenant_id, i.manifest_id, 1, now() + interval '1 h', now(), '1 h' from mcp.agent_instances i where i.name = 'more';
insert into mcp.agent_instance_history (tenant_id, registration_id, ordinal, epoch, kind, at)
select i.tenant_id, i.id, n, 1, 'reconnected', now() from mcp.agent_instances i, generate_series(1, 10) n where i.name = 'more';
insert into mcp.agent_job_counts (tenant_id, registration_id) select i.tenant_id, i.id from mcp.agent_instances i where i.name = 'more';
select pg_stat_force_next_flush();
"""
_READ = """
select sum(pg_stat_get_xact_tuples_returned(c.oid))::integer
  from pg_class c where c.relnamespace = 'mcp'::regnamespace and c.relkind in ('r', 'i')
"""

_REGISTER = "select registration_id, epoch from mcp.register_agent_instance($1, 'ide-agent', $2, null, '{}', '{}', capabilities => '{search}')"
_BATCH = "select outcome from mcp.heartbeat_agent_instances(array[$1::uuid], array[$2::bigint], array['healthy'])"
_HISTORY = load("registry/instances/history")["find"]
_VERBS = {
    "heartbeat": "select outcome from mcp.heartbeat_agent_instance($1, $2, $3, health => 'degraded')",
    "drain": "select outcome from mcp.drain_agent_instance($1, $2, $3)",
    "update": "select outcome from mcp.update_agent_instance($1, $2, $3, tags => '{new}')",
    "disconnect": "select outcome from mcp.disconnect_agent_instance($1, $2, $3, 5)",
    "deregister": "select outcome from mcp.deregister_agent_instance($1, $2, $3)",
}


@pytest.fixture
async def registry(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    """One session, and nobody analyses."""
    async with fresh_database(postgres, template) as url, open_registry(url, size=1) as registry:
        tables = await registry.owner.fetch(
            "select oid::regclass::text as name from pg_class where relnamespace = 'mcp'::regnamespace and relkind = 'r'"
        )
        for row in tables:
            await registry.owner.execute(f"alter table {row['name']} set (autovacuum_enabled = off)")
        yield registry


async def _life(registry: RegistryDatabase, instance_id: str) -> dict[str, int]:
    """Register twice, then call all functions. Returns the rows and index entries that each one read."""
    reads: dict[str, int] = {}

    async def count(name: str, query: str, *arguments: Any, pool: Pool = registry.app) -> asyncpg.Record:
        async with pool.acquire() as connection, connection.transaction():
            before = await connection.fetchval(_READ)  # of earlier transactions, which the session has not reported yet
            found = await connection.fetchrow(query, *arguments)
            reads[name] = await connection.fetchval(_READ) - before
        assert found is not None
        return found

    await count("register", _REGISTER, ORG_1, instance_id)
    row = await count("reconnect", _REGISTER, ORG_1, instance_id)
    bound = _HISTORY.bind(organization_id=ORG_1, registration_id=row["registration_id"])
    await count("history", *bound)
    await count("heartbeats of many", _BATCH, *row, pool=registry.system)
    for name, query in _VERBS.items():
        assert (await count(name, query, ORG_1, *row))["outcome"] == "ok"
    return reads


@pytest.mark.parametrize("analysed", [False, True])
async def test_no_verb_reads_more_of_a_large_tenant_than_of_a_small_one(
    registry: RegistryDatabase, analysed: bool
) -> None:
    if analysed:
        await registry.register()
        await fill(registry.owner, "analyze")
    await _life(registry, "first")
    small = await _life(registry, "second")
    await fill(registry.owner, _MORE)
    numbers = itertools.count()
    grown: dict[str, tuple[int, int]] = {}

    async def is_as_before() -> bool:
        large = await _life(registry, f"later-{next(numbers)}")
        grown.clear()
        grown.update({name: (small[name], large[name]) for name in small if large[name] > small[name] + 10})
        return not grown

    with contextlib.suppress(TimeoutError):
        await until(is_as_before)
    assert grown == {}
