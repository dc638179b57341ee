"""Regression tests for failures of other registries that no other file of this folder covers."""

from __future__ import annotations

import asyncpg
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, Row, acting_for


async def _all(registry: RegistryDatabase) -> dict[str, Row]:
    query = """
        select i.instance_id || ' of ' || i.agent_id || ' of ' || i.tenant_id as which, i.*, l.*
          from mcp.agent_instances i left join mcp.agent_leases l on l.registration_id = i.id"""
    return {row["which"]: row for row in await registry.owner.fetch(query)}


@pytest.mark.parametrize("verb", ["beat", "drain", "disconnect", "deregister"])
async def test_a_message_changes_one_instance_and_no_other_of_its_type_in_any_tenant(
    registry: RegistryDatabase, verb: str
) -> None:
    one = await registry.register(instance_id="one")
    for agent_id, instance_id, tenant in (
        ("ide-agent", "two", ORG_1),
        ("ide-agent", "one", ORG_2),
        ("slack-bot", "one", ORG_1),
    ):
        await registry.register(agent_id, instance_id, tenant)
    before = await _all(registry)
    if verb == "beat":
        assert await registry.heartbeat(one, health="unhealthy") == "ok"
    else:
        assert await registry.end(verb, one, 1.0 if verb == "disconnect" else "why") == "ok"
    after = await _all(registry)
    assert {which for which, row in before.items() if row != after[which]} == {f"one of ide-agent of {ORG_1}"}


async def test_an_agent_that_was_disabled_is_not_active_again_because_it_tried_to_register(
    registry: RegistryDatabase,
) -> None:
    row = await registry.register()
    assert await registry.end("deregister", row) == "ok"
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("update mcp.agents set enabled = false")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await registry.register()
    assert refused.value.sqlstate == "AH001"
    assert await registry.owner.fetchval("select status from mcp.agents") == "offline"
    assert (await registry.get_statuses(row))[0] == "inactive"


async def test_an_instance_that_comes_back_over_another_connection_is_the_same_registration(
    registry: RegistryDatabase,
) -> None:
    """The instance names itself: its connection, and the server that it ends at, may be others every time."""
    first = await registry.register(registered_by="socket 1")
    again = await registry.register(registered_by="socket 2")
    assert (again["registration_id"], again["epoch"], again["is_new"]) == (first["registration_id"], 2, False)
    assert await registry.owner.fetchval("select count(*) from mcp.agent_instances") == 1
