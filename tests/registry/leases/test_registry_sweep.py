"""A sweep marks lapsed leases once, and engages a brake when many lapse at once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, Row

KEEPER = UUID(int=7)
COUNTERS = ("stale", "inactive", "deleted", "braked_sets", "live")


async def _fill(registry: RegistryDatabase, count: int, **more: Any) -> list[Row]:
    return list(await asyncio.gather(*(registry.register(instance_id=f"i{n}", **more) for n in range(count))))


async def test_instances_become_stale_then_inactive_then_deleted_each_once(registry: RegistryDatabase) -> None:
    row = await registry.register()
    steps = []
    for seconds in (0, 20, 20, 85, 85, 86_500, 86_500):
        swept = await registry.sweep(await registry.later(seconds))
        steps.append(tuple(swept[name] for name in ("stale", "inactive", "deleted")))
    assert steps == [(0, 0, 0), (1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (0, 0, 1), (0, 0, 0)]
    assert await registry.event_kinds() == ["registered", "stale", "inactive", "deleted"]
    fresh = await registry.register()
    assert (fresh["is_new"], fresh["registration_id"] != row["registration_id"]) == (True, True)


async def test_of_two_concurrent_sweeps_one_is_skipped(registry: RegistryDatabase) -> None:
    async with registry.system.acquire() as connection, connection.transaction():
        assert not await connection.fetchval("select skipped from mcp.sweep_agent_instances()")
        other = await registry.sweep()
        assert other["skipped"]
        assert [other[name] for name in COUNTERS] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(("total", "dying", "braked"), [(6, 6, 0), (7, 1, 0), (7, 2, 1), (20, 3, 0), (20, 4, 1)])
async def test_the_brake_engages_when_more_than_15_percent_of_more_than_six_lapse_at_once(
    registry: RegistryDatabase, total: int, dying: int, braked: int
) -> None:
    rows = await _fill(registry, total)
    later = await registry.later(80)
    for row in rows[dying:]:
        await registry.heartbeat(row, now=later)
    swept = await registry.sweep(await registry.later(20))
    assert (swept["stale"], swept["braked_sets"], swept["live"]) == (dying, braked, total - dying)
    assert await registry.get_statuses(rows[0]) == ("inactive", "stale")
    swept = await registry.sweep(await registry.later(85))
    assert swept["inactive"] == (0 if braked else dying)


async def _braked(registry: RegistryDatabase) -> list[Row]:
    rows = await _fill(registry, 10)
    await _fill(registry, 10, tenant=ORG_2)
    for row in rows[5:]:
        await registry.heartbeat(row, now=await registry.later(3600))
    for row in await registry.owner.fetch(
        "select id as registration_id, 1 as epoch from mcp.agent_instances where tenant_id = $1", ORG_2
    ):
        await registry.heartbeat(row, tenant=ORG_2, now=await registry.later(3600))
    assert (await registry.sweep(await registry.later(20)))["braked_sets"] == 1
    return rows


async def test_a_brake_lasts_until_the_instances_of_its_set_are_back(registry: RegistryDatabase) -> None:
    rows = await _braked(registry)
    assert tuple(await registry.row("select tenant_id, stale, total from mcp.agent_brakes")) == (ORG_1, 5, 10)
    assert (await registry.sweep(await registry.later(580)))["inactive"] == 0
    for row in rows[:4]:
        assert await registry.heartbeat(row, now=await registry.later(3600)) == "ok"
    swept = await registry.sweep(await registry.later(581))
    assert (swept["braked_sets"], swept["inactive"], swept["live"]) == (0, 1, 19)


async def test_a_brake_ends_by_itself_after_its_hold_time(registry: RegistryDatabase) -> None:
    """Else the dead of every deployment that starts new instances and kills the old ones would stay for good."""
    await _braked(registry)
    swept = await registry.sweep(await registry.later(625))
    assert (swept["braked_sets"], swept["inactive"], swept["live"]) == (0, 5, 15)


async def test_a_brake_is_renewed_by_an_outage_and_by_further_lapses(registry: RegistryDatabase) -> None:
    rows = await _braked(registry)
    for seconds in (500, 505):  # of which it was silent for five
        await registry.system.execute(
            "select mcp.heartbeat_lease_keeper($1, 'test', $2)", KEEPER, await registry.later(seconds)
        )
    assert (await registry.sweep(await registry.later(630)))["braked_sets"] == 1
    for row in rows[5:]:
        await registry.heartbeat(row, now=await registry.later(640))
    assert (await registry.sweep(await registry.later(1000)))["stale"] == 5
    assert (await registry.sweep(await registry.later(1580)))["inactive"] == 0, "since then it is not ten minutes"
    assert (await registry.sweep(await registry.later(1610)))["inactive"] == 10


async def test_an_operator_releases_a_brake(registry: RegistryDatabase) -> None:
    await _braked(registry)
    assert await registry.system.fetchval("select mcp.release_brake($1, 'ide-agent')", ORG_1)
    assert not await registry.system.fetchval("select mcp.release_brake($1, 'ide-agent')", ORG_1)
    swept = await registry.sweep(await registry.later(600))
    assert (swept["braked_sets"], swept["inactive"]) == (0, 5)


async def test_a_sweep_is_bounded_and_the_next_one_continues(registry: RegistryDatabase) -> None:
    await _fill(registry, 6)
    at = await registry.later(20)
    counts = [
        await registry.system.fetchval("select stale from mcp.sweep_agent_instances($1, 4)", at) for _ in range(3)
    ]
    assert counts == [4, 2, 0]


async def test_locked_rows_are_skipped(registry: RegistryDatabase) -> None:
    row = await registry.register()
    at = await registry.later(20)
    async with registry.owner.acquire() as connection, connection.transaction():
        await connection.execute(
            "select from mcp.agent_leases where registration_id = $1 for update", row["registration_id"]
        )
        assert (await registry.sweep(at))["stale"] == 0
    assert (await registry.sweep(at))["stale"] == 1


async def test_the_interval_follows_the_number_of_live_instances(registry: RegistryDatabase) -> None:
    await registry.owner.execute(
        "insert into mcp.agent_manifests (agent_id) values ('crowd'); "
        "insert into mcp.agent_configurations (tenant_id, manifest_id, name) select $$00000000-0000-0000-0000-000000000001$$, id, 'x' from mcp.agent_manifests; "
        "insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name) "
        "select c.tenant_id, c.manifest_id, 'crowd', 'i' || n, 'x' from mcp.agent_configurations c, generate_series(1, 7000) n; "
        "insert into mcp.agent_leases (registration_id, tenant_id, manifest_id, epoch, lease_expires_at, last_health_check, lease_ttl) "
        "select id, tenant_id, manifest_id, 1, now() + interval '1 h', now(), '1 h' from mcp.agent_instances"
    )
    assert (await registry.sweep())["live"] == 7000
    assert tuple(await registry.row("select interval_seconds, ttl_seconds, live from mcp.lease_pace")) == (
        7,
        21,
        7000,
    )
