"""Two hostile organizations cannot reach each other's rows with the server's role."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, SEED_QUERY, RegistryDatabase, acting_for

TABLES = (
    "agent_configurations",
    "agent_instances",
    "agent_leases",
    "agent_search_terms",
    "agent_brakes",
    "agent_events",
)
VIEWS = ("agent_registrations", "agent_liveness", "agents")


@pytest.fixture
async def both(registry: RegistryDatabase) -> dict[UUID, Any]:
    """The same agent and instance in both tenants."""
    return {tenant: await registry.register(tenant=tenant) for tenant in (ORG_1, ORG_2)}


async def test_the_same_instance_id_in_two_tenants_is_two_instances(
    both: dict[UUID, Any], registry: RegistryDatabase
) -> None:
    assert [row["is_new"] for row in both.values()] == [True, True]
    again = await registry.register(tenant=ORG_2)
    assert again["registration_id"] == both[ORG_2]["registration_id"]
    assert await registry.owner.fetchval("select epoch from mcp.agent_instances where tenant_id = $1", ORG_1) == 1


@pytest.mark.parametrize("table", [*TABLES, *VIEWS])
async def test_rows_of_others_are_invisible_and_without_an_organization_there_are_none(
    both: dict[UUID, Any], registry: RegistryDatabase, table: str
) -> None:
    await registry.sweep(await registry.later(20))
    await registry.event_kinds()
    assert await registry.app.fetchval(f"select count(*) from mcp.{table}") == 0
    async with acting_for(registry.app, ORG_1) as connection:
        assert {row[0] for row in await connection.fetch(f"select tenant_id from mcp.{table}")} <= {ORG_1}
        if table not in {"agent_brakes", "agent_events", *VIEWS}:
            done = await connection.execute(f"delete from mcp.{table} where tenant_id = $1", ORG_2)
            assert done == "DELETE 0"


async def test_the_documented_query_returns_the_callers_rows_only(
    both: dict[UUID, Any], registry: RegistryDatabase
) -> None:
    await registry.owner.execute("update mcp.agent_configurations set name = 'theirs' where tenant_id = $1", ORG_2)
    async with acting_for(registry.app, ORG_1) as connection:
        assert [tuple(row)[::3] for row in await connection.fetch(SEED_QUERY, ORG_1, "ide-agent")] == [
            ("c1", "VS Code")
        ]
        assert await connection.fetch(SEED_QUERY, ORG_2, "ide-agent") == []


async def test_no_message_changes_an_instance_of_another_organization(
    both: dict[UUID, Any], registry: RegistryDatabase
) -> None:
    theirs = both[ORG_2]
    before = await registry.owner.fetch("select * from mcp.agent_leases order by 1")
    assert await registry.heartbeat(theirs, health="unhealthy") == "must_register"
    for verb, last in (("drain", "x"), ("deregister", "x"), ("disconnect", 0.0)):
        assert await registry.end(verb, theirs, last) == "unknown"
    async with acting_for(registry.app, ORG_1) as connection:
        answer = "select outcome from mcp.heartbeat_agent_instances($1, $2)"
        assert await connection.fetchval(answer, [theirs["registration_id"]], [1]) == "must_register"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select mcp.heartbeat_agent_instance($1, $2, 1)", ORG_2, theirs["registration_id"])
    assert await registry.owner.fetch("select * from mcp.agent_leases order by 1") == before


async def test_a_registration_cannot_refer_to_a_configuration_of_another_organization(
    both: dict[UUID, Any], registry: RegistryDatabase
) -> None:
    row = await registry.register("only-theirs", tenant=ORG_2)
    insert = "insert into mcp.agent_instances (tenant_id, manifest_id, agent_id, instance_id, name) values ($1, $2, 'only-theirs', 'x', 'x')"
    for tenant, error in ((ORG_1, asyncpg.ForeignKeyViolationError), (ORG_2, asyncpg.InsufficientPrivilegeError)):
        async with acting_for(registry.app, ORG_1) as connection:
            with pytest.raises(error):
                await connection.execute(insert, tenant, row["manifest_id"])
            await connection.execute("rollback; begin")


async def test_a_manifest_is_seen_by_those_who_configured_it_or_when_it_is_published(
    registry: RegistryDatabase,
) -> None:
    await registry.register("theirs", tenant=ORG_2)
    names = "select array_agg(agent_id) from mcp.agent_manifests"
    async with acting_for(registry.app, ORG_1) as connection:
        assert await connection.fetchval(names) is None
    await registry.system.execute("update mcp.agent_manifests set published = true")
    async with acting_for(registry.app, ORG_1) as connection:
        assert await connection.fetchval(names) == ["theirs"]


@pytest.mark.parametrize(
    "statement",
    [
        "update mcp.agent_manifests set name = 'mine'",
        "delete from mcp.agent_manifests",
        "insert into mcp.agent_manifests (id, agent_id, published) values (gen_random_uuid(), 'x', true)",
        "select mcp.sweep_agent_instances()",
        "select mcp.heartbeat_lease_keeper(gen_random_uuid(), 'x')",
        "select * from mcp.agent_event_inbox",
        "insert into mcp.agent_brakes values ($$00000000-0000-0000-0000-000000000001$$, gen_random_uuid(), now(), 1, 1)",
        "update mcp.lease_pace set interval_seconds = 3600",
        "update mcp.agent_event_log set lowest = 9",
    ],
)
async def test_shared_rows_cannot_be_changed_by_one_organization(
    both: dict[UUID, Any], registry: RegistryDatabase, statement: str
) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_disabling_in_one_organization_changes_nothing_in_another(
    both: dict[UUID, Any], registry: RegistryDatabase
) -> None:
    await registry.end("deregister", both[ORG_1])
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("update mcp.agent_configurations set enabled = false")
    assert await registry.get_statuses(both[ORG_2]) == ("active", "healthy")
    assert (await registry.register(tenant=ORG_2))["epoch"] == 2


async def test_every_table_enables_and_forces_row_level_security(registry: RegistryDatabase) -> None:
    bare = "select array_agg(relname) from pg_class where relnamespace = 'mcp'::regnamespace and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)"
    assert await registry.owner.fetchval(bare) is None
    loose = "select array_agg(relname) from pg_class where relnamespace = 'mcp'::regnamespace and relkind = 'v' and not coalesce(reloptions @> array['security_invoker=true'], false)"
    assert await registry.owner.fetchval(loose) is None
    definers = "select array_agg(p.proname || ' of ' || r.rolname order by p.proname) from pg_proc p join pg_roles r on r.oid = p.proowner where p.pronamespace = 'mcp'::regnamespace and p.prosecdef"
    assert await registry.owner.fetchval(definers) == [
        f"{name} of agenthall_system"
        for name in (
            "delete_unused_manifests",
            "ensure_manifest",
            "fill_agent_id",
            "follow_state_schema",
            "limit_agent_types",
            "manifest_id_for",
            "refuse_graph_id",
        )
    ]


async def test_unknown_ids_are_told_apart_from_nothing(registry: RegistryDatabase) -> None:
    assert await registry.owner.fetchval("select mcp.manifest_id_for('nobody')") is None
    assert await registry.heartbeat({"registration_id": uuid4(), "epoch": 1}) == "must_register"  # type: ignore[arg-type]
