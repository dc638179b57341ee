"""Finding instances costs as much as a page, however many there are and whatever statistics PostgreSQL has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from registry_database import ORG_1, RegistryDatabase, acting_for, filled_registry

ROWS = 3_000
START = UUID(int=0)
DISCOVER = """
select r.* from (
    select t.registration_id from mcp.agent_search_terms t
     where t.tenant_id = $1 and t.term = $2 and t.registration_id > $3
     order by t.registration_id) found
  cross join lateral (
    select * from mcp.agent_registrations r
     where r.id = found.registration_id and r.registration_status = 'active' and r.capabilities @> $4 offset 0) r
 order by found.registration_id limit 100"""
"""$1 tenant, $2 a term (the rarest that is asked for), $3 the last id of the page before, $4 capabilities of which it
has all."""
_FILL = f"""
insert into mcp.agent_manifests (agent_id) values ('crowd'), ('dead');
insert into mcp.agent_configurations (tenant_id, manifest_id, name) select '{ORG_1}', id, agent_id from mcp.agent_manifests;
insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name, capabilities, zone)
select '{ORG_1}', m.id, m.agent_id, 'i' || n, 'x',
       case when m.agent_id = 'dead' then '{{}}' when n % 500 = 0 then '{{half,rare}}'::text[] when n % 2 = 0 then '{{half}}' else '{{other}}' end, 'z'
  from mcp.agent_manifests m, generate_series(1, {ROWS}) n;
insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl)
select id, tenant_id, manifest_id, 1, now() + case agent_id when 'dead' then interval '-1 day' else interval '1 hour' end, now(), '15 s'
  from mcp.agent_instances;
"""


@pytest.fixture(scope="module", params=["analysed", "never analysed"])
async def crowd(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with filled_registry(postgres, template, _FILL, analysed=request.param == "analysed") as registry:
        yield registry


async def _touched(connection: Any, query: str, *arguments: Any) -> int:
    """Buffers that the query's generic plan reads."""
    values = ", ".join(f"'{each}'" for each in arguments)
    await connection.execute(f"prepare asked as {query}")
    plan = await connection.fetchval(f"explain (analyze, buffers, timing off, format json) execute asked({values})")
    await connection.execute("deallocate asked")
    return int(json.loads(plan)[0]["Plan"]["Shared Hit Blocks"] + json.loads(plan)[0]["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("term", ["capability:half", "capability:rare", "agent:crowd", "zone:z"])
async def test_a_page_reads_no_more_than_a_page(crowd: RegistryDatabase, term: str) -> None:
    dead = ROWS if term == "zone:z" else 0
    async with acting_for(crowd.app, ORG_1) as connection:
        rows = await connection.fetch(DISCOVER, ORG_1, term, START, [])
        assert len(rows) == (6 if term == "capability:rare" else 100)
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        assert await _touched(connection, DISCOVER, ORG_1, term, START, "{}") < (20_000 if dead else 2_500)


async def test_pages_follow_each_other_without_a_gap(crowd: RegistryDatabase) -> None:
    found: list[UUID] = []
    async with acting_for(crowd.app, ORG_1) as connection:
        while page := await connection.fetch(
            DISCOVER, ORG_1, "capability:half", found[-1] if found else START, ["half"]
        ):
            found += [row["id"] for row in page]
    assert len(set(found)) == len(found) == ROWS // 2


async def test_all_of_several_capabilities(crowd: RegistryDatabase) -> None:
    async with acting_for(crowd.app, ORG_1) as connection:
        assert len(await connection.fetch(DISCOVER, ORG_1, "capability:rare", START, ["half", "rare"])) == 6
        assert await connection.fetch(DISCOVER, ORG_1, "capability:rare", START, ["other", "rare"]) == []


async def test_reading_one_agent_costs_the_same_with_thousands_of_dead_instances_swept_or_not(
    crowd: RegistryDatabase,
) -> None:
    read = "select * from mcp.agents where agent_id = $1 and tenant_id = $2"
    await crowd.register("lonely", tenant=ORG_1)
    async with acting_for(crowd.app, ORG_1) as connection:
        assert (await connection.fetchrow(read, "dead", ORG_1))["status"] == "available"
        unswept = await _touched(connection, read, "dead", ORG_1)
    assert unswept < 250, "the rows and their leases lie in thousands of blocks"
    at = await crowd.now()
    while await crowd.system.fetchval("select stale from mcp.sweep_agent_instances($1, 2000)", at):
        pass
    await crowd.owner.execute("vacuum mcp.agent_leases")
    async with acting_for(crowd.app, ORG_1) as connection:
        assert (await connection.fetchrow(read, "dead", ORG_1))["status"] == "available"
        assert await _touched(connection, read, "dead", ORG_1) < 250
