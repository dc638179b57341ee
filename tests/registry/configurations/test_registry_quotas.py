"""Quotas of one tenant, which every way to create something respects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for

from robyn_server.core.errors import Conflict, TooMany
from robyn_server.core.registry.instances import RegistrationRequest
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.registry.configurations import Configurations
from robyn_server.storage.registry.instances.instances import Instances
from robyn_server.storage.registry.manifests import Manifests


@contextlib.asynccontextmanager
async def limited(registry: RegistryDatabase, **quotas: int) -> AsyncIterator[Pool]:
    """A pool as the server opens it, with other quotas."""
    session = {f"mcp.max_{name}": value for name, value in quotas.items()}
    pool = await open_pool(registry.url, Role.APP, size=8, name="limited", session=session)
    yield pool
    await pool.close()


async def register(pool: Pool, agent_id: str, instance_id: str = "c1", tenant: UUID = ORG_1) -> str:
    """The id of the registration, or the code with which it is refused."""
    request = RegistrationRequest(agent_id=agent_id, instance_id=instance_id)
    try:
        made = await Instances(pool).register(tenant, request, registered_by="test", keeper_id=None)
    except TooMany as error:
        return error.code
    return str(made.registration_id)


async def insert_agent(pool: Pool, name: str) -> None:
    """Through the view for older code."""
    async with acting_for(pool, ORG_1) as connection:
        await connection.execute("insert into mcp.agents (tenant_id, name) values ($1, $2)", ORG_1, name)


async def refusals(pool: Pool, calls: list[tuple[str, str]], tenant: UUID = ORG_1) -> list[str]:
    results = await asyncio.gather(*(register(pool, *call, tenant) for call in calls))
    return [each for each in results if each.startswith("too_many")]


async def test_a_tenant_has_as_many_instances_as_it_may_have_and_no_more(registry: RegistryDatabase) -> None:
    async with limited(registry, instances=5) as pool:
        refused = await refusals(pool, [("ide", f"c{n}") for n in range(20)])
        assert refused == ["too_many_instances"] * 15
        rows = await registry.owner.fetch("select id, instance_id, epoch from mcp.agent_instances")
        assert len(rows) == 5
        assert not (await register(pool, "ide", rows[0]["instance_id"])).startswith("too_many"), "it is there already"
        assert not (await register(pool, "ide", "c1", ORG_2)).startswith("too_many"), "another tenant"
        await registry.owner.execute("select mcp.deregister_agent_instance($1, $2, null)", ORG_1, rows[0]["id"])
        assert not (await register(pool, "ide", "later")).startswith("too_many")
        assert await register(pool, "ide", rows[0]["instance_id"]) == "too_many_instances", "it would come back"


async def test_stale_and_draining_instances_count(registry: RegistryDatabase) -> None:
    async with limited(registry, instances=2) as pool:
        one, other = [await register(pool, "ide", name) for name in ("a", "b")]
        await registry.owner.execute("select mcp.drain_agent_instance($1, $2, null)", ORG_1, UUID(one))
        await registry.sweep(await registry.later(20))
        assert await register(pool, "ide", "c") == "too_many_instances"
        assert await register(pool, "ide", "b") == other


async def test_a_large_limit_holds_to_a_few_percent(registry: RegistryDatabase) -> None:
    async with limited(registry, instances=6000) as pool:
        await register(pool, "ide")
        fill = "insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name) select c.tenant_id, c.manifest_id, 'ide', $1 || n, 'x' from mcp.agent_configurations c, generate_series(1, $2::int) n"
        await registry.owner.execute(fill, "few", 5000)
        assert not (await register(pool, "ide", "below")).startswith("too_many")
        await registry.owner.execute(fill, "more", 2000)
        assert await register(pool, "ide", "above") == "too_many_instances"


async def test_a_tenant_has_as_many_types_as_it_may_create(registry: RegistryDatabase) -> None:
    async with limited(registry, agent_types=4) as pool:
        refused = await refusals(pool, [(f"type-{n}", "c1") for n in range(12)])
        assert refused == ["too_many_agent_types"] * 8
        assert await registry.owner.fetchval("select count(*) from mcp.agent_manifests") == 4
        assert not (await register(pool, "of-another", "c1", ORG_2)).startswith("too_many")
        assert not (await register(pool, "of-another", "c1")).startswith("too_many"), "that type exists"
        with pytest.raises(TooMany):
            await Configurations(pool).upsert(
                ORG_1, "by-put", {"capabilities": [], "configuration": {}, "enabled": True}
            )
        with pytest.raises(asyncpg.PostgresError) as caught:
            await insert_agent(pool, "By View")
        assert caught.value.sqlstate == "AH003"


async def test_a_tenant_has_as_many_configurations_as_it_may_have(registry: RegistryDatabase) -> None:
    fields = {"capabilities": [], "configuration": {}, "enabled": True, "jobs": {}}
    async with limited(registry, configurations=3) as pool:
        put = Configurations(pool)
        for name in ("a", "b", "c"):
            assert (await put.upsert(ORG_1, name, fields))[1]
        assert await register(pool, "d") == "too_many_configurations"
        with pytest.raises(TooMany) as refused:
            await put.upsert(ORG_1, "d", fields)
        assert refused.value.code == "too_many_configurations" and "3 configurations" in refused.value.detail
        assert not (await put.upsert(ORG_1, "a", fields))[1], "a change of one that exists"
        await put.delete(ORG_1, "a")
        assert (await put.upsert(ORG_1, "d", fields))[1]
        assert await registry.owner.fetchval("select array_agg(agent_id order by 1) from mcp.agent_manifests") == [
            "b",
            "c",
            "d",
        ]


async def test_types_come_and_go_without_end(registry: RegistryDatabase) -> None:
    async with limited(registry, agent_types=2) as pool:
        for number in range(6):
            assert not (await register(pool, f"brief-{number}")).startswith("too_many")
            assert await Configurations(pool).delete(ORG_1, f"brief-{number}")
    assert await registry.owner.fetchval("select count(*) from mcp.agent_manifests") == 0


async def test_a_type_that_another_tenant_uses_or_an_administrator_wrote_stays(registry: RegistryDatabase) -> None:
    manifests, configurations = Manifests(registry.app, registry.system), Configurations(registry.app)
    for agent in ("shared", "written", "patched"):
        await register(registry.app, agent)
    await register(registry.app, "shared", tenant=ORG_2)
    fields: dict[str, Any] = {"capabilities": [], "published": False}
    await manifests.upsert("written", {**fields, "name": "Ours"})
    await manifests.update("patched", {"name": "Ours"})
    for agent in ("shared", "written", "patched"):
        assert await configurations.delete(ORG_1, agent)
        assert await manifests.find(None, agent) is not None
    with pytest.raises(Conflict) as used:
        await manifests.delete("shared")
    assert used.value.code == "manifest_in_use"
    assert await manifests.delete("written") and await manifests.delete("patched")
    assert not await manifests.delete("written")
    assert await configurations.delete(ORG_2, "shared")
    assert await manifests.find(None, "shared") is None


async def test_registrations_and_deletions_of_one_type_at_once_raise_no_error(registry: RegistryDatabase) -> None:
    async def create(number: int) -> None:
        assert not (await register(registry.app, "busy", f"c{number % 3}", (ORG_1, ORG_2)[number % 2])).startswith(
            "too"
        )

    async def delete(number: int) -> None:
        await Configurations(registry.app).delete((ORG_1, ORG_2)[number % 2], "busy")

    for _ in range(6):
        await asyncio.gather(*((create, delete)[number % 3 == 0](number) for number in range(24)))
    async with limited(registry, agent_types=1) as pool:
        for tenant in (ORG_1, ORG_2):
            await Configurations(pool).delete(tenant, "busy")
        assert not (await register(pool, "next")).startswith("too_many"), "a type that nobody uses takes no place"
        assert await register(pool, "one-more") == "too_many_agent_types"


async def test_types_that_nobody_uses_give_way(registry: RegistryDatabase) -> None:
    unused = "insert into mcp.agent_manifests (agent_id, created_for) select 'unused-' || n, $1::uuid from generate_series(1, 3) n"
    async with limited(registry, agent_types=3) as pool:
        await registry.owner.execute(unused, ORG_1)
        for name in ("a", "b", "c"):
            assert not (await register(pool, name)).startswith("too_many")
        assert await register(pool, "d") == "too_many_agent_types"


async def test_no_tenant_creates_a_type_in_the_name_of_another(registry: RegistryDatabase) -> None:
    async with registry.app.acquire() as connection:
        for statement in (
            "insert into mcp.agent_manifests (id, agent_id, created_for) values (gen_random_uuid(), 'x', $1)",
            "insert into mcp.agent_manifests (id, agent_id) values (gen_random_uuid(), coalesce('x', $1::uuid::text))",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement, uuid4())
