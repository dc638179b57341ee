"""A configuration whose agent runs in instances has an assistant, from the moment at which it is committed."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from registry_database import ORG_1, ORG_2, RegistryDatabase, acting_for

_ROW = "select * from agenthall.assistants where assistant_id = $1"
_VERSIONS = "select array_agg(version order by version) from agenthall.assistant_versions where assistant_id = $1"
_OF_AGENT = "select id from mcp.agent_configurations where tenant_id = $1 and agent_id = $2"
_WRITES = """
select sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid))::integer
  from pg_class c
 where c.relkind = 'r' and (c.relnamespace = 'agenthall'::regnamespace or c.oid = 'mcp.agent_configurations'::regclass)
"""
_LOCKED = """
select count(*) from pg_locks l join pg_class c on c.oid = l.relation
 where l.pid = pg_backend_pid() and c.relnamespace = 'agenthall'::regnamespace
"""


async def get(registry: RegistryDatabase, config_id: UUID) -> dict[str, Any]:
    """The assistant with its JSON decoded."""
    row = await registry.row(_ROW, config_id)
    return {**row, **{name: orjson.loads(row[name]) for name in ("config", "context", "metadata")}}


async def change(registry: RegistryDatabase, config_id: UUID, **columns: Any) -> None:
    places = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    await registry.system.execute(
        f"update mcp.agent_configurations set {places} where id = $1", config_id, *columns.values()
    )


@pytest.fixture
async def bot(registry: RegistryDatabase) -> UUID:
    """The configuration of an agent that has just registered."""
    row = await registry.register(f"bot-{uuid4().hex[:8]}")
    return UUID(str(row["config_id"]))


async def test_the_first_registration_makes_the_assistant(registry: RegistryDatabase) -> None:
    row = await registry.register("my-bot")
    made = await get(registry, row["config_id"])
    assert (made["graph_id"], made["origin"], made["name"]) == ("instances", "instances", "VS Code")
    assert (made["owner_id"], made["visibility"], made["organization_id"]) == ("system", "organization", ORG_1)
    assert (made["version"], made["retired_at"], made["description"]) == (1, None, None)
    assert made["config"]["configurable"] == {
        "agenthall_agent_id": "my-bot",
        "agenthall_organization_id": str(ORG_1),
        "agenthall_jobs": orjson.loads(await registry.owner.fetchval("select mcp.job_options()")),
    }
    assert (made["metadata"]["agent_source"], made["metadata"]["agent_id"]) == ("configuration", "my-bot")
    assert await registry.owner.fetchval(_VERSIONS, row["config_id"]) == [1]


async def test_another_registration_of_the_type_writes_and_locks_nothing_of_it(registry: RegistryDatabase) -> None:
    await registry.register("my-bot")
    async with registry.app.acquire() as connection, connection.transaction():
        before = await connection.fetchval(_WRITES)
        await connection.fetchrow("select * from mcp.register_agent_instance($1, 'my-bot', 'c2')", ORG_1)
        assert await connection.fetchval(_WRITES) == before
        assert await connection.fetchval(_LOCKED) == 0


async def test_concurrent_first_registrations_make_one_assistant(registry: RegistryDatabase) -> None:
    for attempt in range(10):
        rows = await asyncio.gather(*(registry.register(f"crowd-{attempt}", f"c{number}") for number in range(12)))
        (config_id,) = {row["config_id"] for row in rows}
        assert await registry.owner.fetchval(_VERSIONS, config_id) == [1]


async def _register_and_fail(registry: RegistryDatabase) -> None:
    async with acting_for(registry.app, ORG_1) as connection:
        await connection.execute("select mcp.register_agent_instance($1, 'lost-bot', 'c1')", ORG_1)
        await connection.execute("select 1 / 0")


async def test_a_registration_that_fails_leaves_no_assistant(registry: RegistryDatabase) -> None:
    before = await registry.owner.fetchval("select count(*) from agenthall.assistants")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _register_and_fail(registry)
    assert await registry.owner.fetchval("select count(*) from agenthall.assistants") == before


async def test_it_is_retired_with_its_configuration_and_comes_back_with_its_versions(
    registry: RegistryDatabase, bot: UUID
) -> None:
    await registry.system.execute(
        "update agenthall.assistants set metadata = metadata || '{\"mine\": 1}', version = 2 where assistant_id = $1",
        bot,
    )
    await change(registry, bot, enabled=False)
    assert (await get(registry, bot))["retired_at"] is not None
    await change(registry, bot, enabled=True)
    back = await get(registry, bot)
    assert (back["retired_at"], back["version"], back["metadata"]["mine"]) == (None, 2, 1)
    assert await registry.owner.fetchval(_VERSIONS, bot) == [1, 2]


async def test_a_deleted_configuration_retires_it_and_a_new_one_is_another_assistant(
    registry: RegistryDatabase, bot: UUID
) -> None:
    agent_id = await registry.owner.fetchval("select agent_id from mcp.agent_configurations where id = $1", bot)
    await registry.system.execute("delete from mcp.agent_configurations where id = $1", bot)
    assert (await get(registry, bot))["retired_at"] is not None
    again = await registry.register(agent_id)
    assert again["config_id"] != bot
    assert (await get(registry, again["config_id"]))["retired_at"] is None


async def test_its_name_and_the_options_of_jobs_follow_the_configuration_as_a_new_version(
    registry: RegistryDatabase, bot: UUID
) -> None:
    await change(registry, bot, name="My bot")
    await change(registry, bot, jobs='{"retry": "always"}')
    changed = await get(registry, bot)
    assert (changed["name"], changed["version"]) == ("My bot", 3)
    assert changed["config"]["configurable"]["agenthall_jobs"]["retry"] == "always"
    assert await registry.owner.fetchval(_VERSIONS, bot) == [1, 2, 3]


async def test_a_write_of_other_fields_makes_no_version(registry: RegistryDatabase, bot: UUID) -> None:
    await change(registry, bot, max_workload=3, capabilities=["x"], configuration='{"a": 1}')
    assert (await get(registry, bot))["version"] == 1


async def test_an_agent_that_runs_here_has_none(registry: RegistryDatabase) -> None:
    await registry.system.execute(
        "insert into mcp.agents (tenant_id, name, system_prompt) values ($1, 'Here Bot', 'x')", ORG_1
    )
    config_id = await registry.owner.fetchval(_OF_AGENT, ORG_1, "here-bot")
    assert await registry.owner.fetchrow(_ROW, config_id) is None


async def test_a_move_to_this_server_gives_the_assistant_to_agent_sync_and_a_move_back_takes_it(
    registry: RegistryDatabase, bot: UUID
) -> None:
    await change(registry, bot, execution="here")
    here = await get(registry, bot)
    assert (here["origin"], here["catalogue_hash"], here["config"]) == ("configuration", "", {"configurable": {}})
    assert here["retired_at"] is not None
    await registry.system.execute(
        """update agenthall.assistants set retired_at = null, version = version + 1, graph_id = 'agent',
             config = '{"configurable": {"model_name": "offline:demo"}}' where assistant_id = $1""",
        bot,
    )
    await change(registry, bot, execution=None)
    back = await get(registry, bot)
    assert (back["origin"], back["catalogue_hash"], back["graph_id"]) == ("instances", None, "instances")
    assert back["config"]["configurable"].keys() == {
        "agenthall_agent_id",
        "agenthall_organization_id",
        "agenthall_jobs",
    }
    assert await registry.owner.fetchval(_VERSIONS, bot) == [1, 2, 3, 4]


@pytest.mark.parametrize(("origin", "visibility"), [("client", "private"), ("catalogue", "organization")])
async def test_an_id_that_another_assistant_has_stays_its_own(
    registry: RegistryDatabase, origin: str, visibility: str
) -> None:
    taken = uuid4()
    await registry.system.execute(
        """insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility, origin, organization_id,
                                            catalogue_hash)
           values ($1, 'agent', 'first', 'anna', $3, $2, $4, case $2 when 'catalogue' then 'x' end)""",
        taken,
        origin,
        visibility,
        ORG_1,
    )
    await registry.system.execute(
        "insert into mcp.agents (id, tenant_id, name) values ($1, $2, 'Second')", taken, ORG_1
    )
    await change(registry, taken, enabled=False)
    await registry.system.execute("delete from mcp.agent_configurations where id = $1", taken)
    kept = await get(registry, taken)
    assert (kept["name"], kept["origin"], kept["retired_at"], kept["version"]) == ("first", origin, None, 1)


async def test_an_id_that_another_organization_left_behind_stays_its_own(registry: RegistryDatabase, bot: UUID) -> None:
    await registry.system.execute("delete from mcp.agent_configurations where id = $1", bot)
    await registry.system.execute("insert into mcp.agents (id, tenant_id, name) values ($1, $2, 'Thief')", bot, ORG_2)
    left = await get(registry, bot)
    assert (left["organization_id"], left["name"]) == (ORG_1, "VS Code")
    assert left["retired_at"] is not None


async def test_what_members_added_does_not_follow_a_configuration_to_another_organization(
    registry: RegistryDatabase, bot: UUID
) -> None:
    await registry.system.execute(
        """update agenthall.assistants set metadata = metadata || '{"mine": 1}', version = 2,
             config = jsonb_set(config, '{configurable,secret}', '1') where assistant_id = $1""",
        bot,
    )
    await registry.system.execute("delete from mcp.agent_instances")
    await change(registry, bot, tenant_id=ORG_2)
    moved = await get(registry, bot)
    assert (moved["organization_id"], "mine" in moved["metadata"]) == (ORG_2, False)
    assert "secret" not in moved["config"]["configurable"]


async def test_truncation_retires_all(registry: RegistryDatabase, bot: UUID) -> None:
    await registry.owner.execute("truncate mcp.agent_manifests cascade")
    assert (await get(registry, bot))["retired_at"] is not None


async def test_no_other_origin_changes(registry: RegistryDatabase, bot: UUID) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="never changes"):
        await registry.system.execute("update agenthall.assistants set origin = 'client' where assistant_id = $1", bot)


_SERVED = """
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility, origin, retired_at)
values (gen_random_uuid(), $1, $1, 'system', 'everyone', 'graph', $2)
"""


@pytest.mark.parametrize("name", ["instances", "served"])
async def test_a_new_agent_with_the_name_of_a_graph_is_refused_and_the_field_is_named(
    registry: RegistryDatabase, name: str
) -> None:
    await registry.system.execute(_SERVED, "served", None)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=f'"{name}" is the name of a graph') as refused:
        await registry.register(name)
    assert refused.value.column_name == "agent_id"
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await registry.system.execute("insert into mcp.agents (tenant_id, name) values ($1, $2)", ORG_1, name)
    await registry.system.execute("delete from agenthall.assistants where graph_id = 'served'")


async def test_an_agent_that_was_there_before_the_graph_goes_on_and_no_other_organization_gets_it(
    registry: RegistryDatabase,
) -> None:
    await registry.register("early")
    await registry.system.execute(_SERVED, "early", None)
    assert (await registry.register("early"))["epoch"] == 2
    with pytest.raises(asyncpg.InvalidParameterValueError, match="name of a graph"):
        await registry.register("early", tenant=ORG_2)
    await registry.system.execute("update agenthall.assistants set retired_at = now() where graph_id = 'early'")
    assert (await registry.register("early", tenant=ORG_2))["epoch"] == 1, "no process serves the graph any more"
    await registry.system.execute("delete from agenthall.assistants where graph_id = 'early'")
