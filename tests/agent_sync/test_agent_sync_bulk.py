"""The bulk path: the same rows, counters and logs as one agent after another, and less work for them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from agent_sync_surroundings import CLEAR, Catalogue, WatchedPool, catalogue_database, stored
from structlog.testing import capture_logs

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, fetch_active_agent_by_id, startup_agent_sync
from robyn_server.agent_sync.protocols import is_bulk
from robyn_server.core.errors import CatalogueUnavailable, Unavailable
from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

ALL = AgentSyncScope("all")
ASSISTANTS = """
select assistant_id, version, graph_id, name, description, config, context, metadata - 'synced_at' as metadata, owner_id,
       organization_id, visibility, catalogue_hash
  from agenthall.assistants order by assistant_id
"""
VERSIONS = """
select assistant_id, version, graph_id, name, description, config, context, metadata - 'synced_at' as metadata
  from agenthall.assistant_versions order by assistant_id, version
"""
LEDGER = """
select agent_id, assistant_id, last_action, failure, write_back_pending from agenthall.agent_sync order by agent_id
"""


@pytest.fixture
def storage(system_pool):
    return PostgresAssistantStorage(system_pool)


@pytest.fixture(params=["one by one", "bulk"])
def either(request, storage):
    if request.param == "one by one":
        storage.bulk = None
    return storage


async def startup(pool, storage, scope=ALL, **options):
    return await startup_agent_sync(pool, storage, scope=scope, owner_id="system", **options)


def parsed(pool):
    """Statements that read whole agents."""
    return [each for each in pool.statements if "agent.*" in each]


async def everything(real_pool):
    return [[tuple(row) for row in await real_pool.fetch(query)] for query in (ASSISTANTS, VERSIONS, LEDGER)]


async def motley(catalogue):
    """Agents of every kind, good and bad."""
    plain = await catalogue.agent(system_prompt="prompt", description="text", graph_id="agent")
    await catalogue.agent(organization_id=None, sampling_params={"temperature": 1, "stop": ["x"]})
    tooled = await catalogue.agent(engine_id=await catalogue.engine("openai:other"), assistant_tool_ids=[uuid4()])
    await catalogue.tool(tooled, "http://one.example/", "b", auth_required=True)
    await catalogue.tool(tooled, "http://one.example", "a")
    await catalogue.tool(tooled, "http://two.example/mcp", "c")
    for bad in ({"name": None}, {"sampling_params": {"api_key": 1}}, {"graph_id": "unheard"}, {"engine_id": uuid4()}):
        await catalogue.agent(**bad)
    await catalogue.agents(12)
    return plain, tooled


async def history(pool, catalogue, storage, real_pool, agents):
    """What four syncs come to: cold, unchanged, with changes, and with a column that cannot be written."""
    plain, tooled = agents
    seen = []

    async def sync():
        with capture_logs() as logs:
            counters = await startup(pool, storage, graphs=["agent"], options=AgentSyncOptions(page_size=5))
        lines = sorted(json.dumps(line, sort_keys=True) for line in logs)
        seen.append((counters, lines, await everything(real_pool)))

    await sync()
    await sync()
    await catalogue.change(plain, name="Bob", system_prompt=None)
    await catalogue.change(tooled, status="disabled")
    await sync()
    await catalogue.change(tooled, status="active", langgraph_assistant_id=None)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("their trigger says no")
    await sync()
    return seen


async def test_both_paths_leave_the_same_rows_counters_and_logs(pool, catalogue, system_pool, real_pool):
    one_by_one, bulk = PostgresAssistantStorage(system_pool), PostgresAssistantStorage(system_pool)
    one_by_one.bulk = None
    agents = await motley(catalogue)
    columns = "langgraph_assistant_id = null, name = case when id = $1 then 'Ada' else name end"
    expected = await history(pool, catalogue, one_by_one, real_pool, agents)
    pool.refuse.clear()
    await real_pool.execute(CLEAR.split(";")[1])
    await real_pool.execute(f"update public.agents set {columns}", agents[0])
    await catalogue.change(agents[0], system_prompt="prompt")
    assert await history(pool, catalogue, bulk, real_pool, agents) == expected
    assert [each[0]["failed"] for each in expected] == [4, 4, 4, 4]
    assert [each[0]["updated"] for each in expected] == [0, 0, 1, 0]


async def test_where_nothing_changed_no_agent_is_read_and_the_ttl_is_renewed(pool, catalogue, storage, real_pool):
    await catalogue.agents(30)
    await startup(pool, storage)
    await real_pool.execute("update agenthall.agent_sync set checked_at = now() - interval '1 hour'")
    pool.statements.clear()
    assert (await startup(pool, storage))["skipped"] == 30
    assert parsed(pool) == []
    old = "select count(*) from agenthall.agent_sync where checked_at < now() - interval '1 minute'"
    assert await real_pool.fetchval(old) == 0


async def test_only_what_changed_is_read(pool, catalogue, storage, real_pool):
    await catalogue.agents(30)
    agent_id = await catalogue.agent(name="before")
    await startup(pool, storage)
    await catalogue.change(agent_id, name="after")
    pool.statements.clear()
    assert (await startup(pool, storage))["updated"] == 1
    assert len(parsed(pool)) == 1
    assert (await stored(storage, agent_id))["name"] == "after"


async def test_a_change_of_a_shared_row_reaches_every_agent_that_uses_it(pool, catalogue, storage, real_pool):
    engine = await catalogue.engine("openai:old")
    agents = [await catalogue.agent(engine_id=engine) for _ in range(3)]
    for agent_id in agents:
        await catalogue.tool(agent_id, "http://old.example", "tool")
    await startup(pool, storage)
    await real_pool.execute("update public.ai_models set runtime_model_name = 'openai:new'")
    assert (await startup(pool, storage))["updated"] == 3
    await real_pool.execute("update public.mcp_tools set endpoint_url = 'http://new.example'")
    assert (await startup(pool, storage))["updated"] == 3
    await real_pool.execute("delete from public.agent_mcp_tools")
    assert (await startup(pool, storage))["updated"] == 3
    assert (await startup(pool, storage))["skipped"] == 3


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"options": AgentSyncOptions(default_model="openai:other")}, "updated"),
        ({"options": AgentSyncOptions(tool_names="servers")}, "updated"),
        ({"graphs": ["other"]}, "failed"),
        ({"graphs": ["agent", "other"]}, "skipped"),
    ],
)
async def test_another_mapping_looks_at_every_agent_again(pool, catalogue, storage, changed, expected):
    agent_id = await catalogue.agent()
    await catalogue.tool(agent_id, "http://one.example", "tool")
    await startup(pool, storage, graphs=["agent"])
    assert (await startup(pool, storage, **{"graphs": ["agent"], **changed}))[expected] == 1


async def test_an_assistant_that_was_deleted_by_hand_is_made_again(pool, catalogue, either, real_pool):
    agent_id = await catalogue.agent()
    await startup(pool, either)
    await real_pool.execute("delete from agenthall.assistants")
    assert (await startup(pool, either))["created"] == 1
    assert (await stored(either, agent_id))["version"] == 1


async def test_an_assistant_that_was_changed_by_hand_is_mended(pool, catalogue, either, real_pool):
    agent_id = await catalogue.agent(name="right")
    await startup(pool, either)
    await real_pool.execute("update agenthall.assistants set name = 'wrong', version = 2")
    assert (await startup(pool, either))["updated"] == 1
    row = await stored(either, agent_id)
    assert (row["name"], row["version"]) == ("right", 3)
    assert (await startup(pool, either))["skipped"] == 1


async def test_an_edit_of_members_is_looked_at_once_and_kept(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.agent(system_prompt="first")
    await startup(pool, storage)
    await real_pool.execute(
        """update agenthall.assistants set version = 2, metadata = metadata || '{"tag": "x"}',
           config = jsonb_set(config, '{configurable,theirs}', '1') || '{"recursion_limit": 9}'"""
    )
    assert (await startup(pool, storage))["skipped"] == 1
    pool.statements.clear()
    assert (await startup(pool, storage))["skipped"] == 1
    assert parsed(pool) == []
    await catalogue.change(agent_id, system_prompt="second")
    assert (await startup(pool, storage))["updated"] == 1
    row = await stored(storage, agent_id)
    assert (row["config"]["recursion_limit"], row["metadata"]["tag"]) == (9, "x")
    assert row["config"]["configurable"]["theirs"] == 1
    assert row["config"]["configurable"]["system_prompt"] == "second"


async def test_an_agent_that_comes_back_is_compared_anew(pool, catalogue, storage, real_pool):
    await catalogue.agent()
    await startup(pool, storage)
    await real_pool.execute("update agenthall.agent_sync set last_action = 'missing'")
    pool.statements.clear()
    assert (await startup(pool, storage))["skipped"] == 1
    assert len(parsed(pool)) == 1


async def test_an_id_that_is_somebody_elses_is_one_failure(pool, catalogue, either):
    agent_id = await catalogue.agent()
    await catalogue.agents(5)
    agent = await fetch_active_agent_by_id(pool, agent_id)
    await startup_agent_sync(pool, either, scope=AgentSyncScope.orgs([agent.organization_id]), owner_id="somebody")
    with capture_logs() as logs:
        assert await startup(pool, either) == {"total": 6, "created": 5, "updated": 0, "skipped": 0, "failed": 1}
    assert "somebody else" in logs[0]["reason"]


async def test_a_row_that_postgres_refuses_fails_alone_with_what_postgres_said(pool, catalogue, either, real_pool):
    await catalogue.agents(40)
    refused = [await catalogue.agent(name="refused") for _ in range(3)]
    await real_pool.execute("alter table agenthall.assistants add constraint mean check (name <> 'refused')")
    try:
        counters = await startup(pool, either)
    finally:
        await real_pool.execute("alter table agenthall.assistants drop constraint mean")
    assert counters == {"total": 43, "created": 40, "updated": 0, "skipped": 0, "failed": 3}
    kept = await real_pool.fetch("select agent_id, failure from agenthall.agent_sync where last_action = 'failed'")
    assert {row["agent_id"] for row in kept} == set(refused)
    assert all("mean" in row["failure"] for row in kept)
    assert (await startup(pool, either))["created"] == 3


async def test_an_assistant_that_somebody_holds_keeps_no_other_waiting(pool, catalogue, storage, real_pool):
    held = await catalogue.agent(name="before")
    await startup(pool, storage)
    await catalogue.change(held, name="after")
    await catalogue.agents(20)
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.assistants where assistant_id = $1 for update", held)
        sync = asyncio.create_task(startup(pool, storage))
        await until(lambda: real_pool.fetchval("select count(*) = 21 from agenthall.assistants"))
        assert not sync.done()
    assert await sync == {"total": 21, "created": 20, "updated": 1, "skipped": 0, "failed": 0}


async def until(condition):
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def replica(dsn):
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as its_catalogue:
        its_pool = await open_pool(dsn, Role.SYSTEM, size=4, name="replica")
        try:
            yield its_catalogue, PostgresAssistantStorage(its_pool)
        finally:
            await its_pool.close()


@pytest.mark.parametrize("sizes", [(500, 500), (7, 20), (50, 3)])
async def test_two_replicas_with_pages_of_any_size_create_each_agent_once(
    pool, catalogue, agent_sync_dsn, real_pool, sizes
):
    await catalogue.agents(200)
    async with replica(agent_sync_dsn) as first, replica(agent_sync_dsn) as second:

        async def both():
            return await asyncio.gather(
                *(
                    startup(*each, options=AgentSyncOptions(page_size=size))
                    for each, size in zip((first, second), sizes, strict=True)
                )
            )

        cold = await both()
        await real_pool.execute("update public.agents set system_prompt = 'new' where name like '%7%'")
        changed = await real_pool.fetchval("select count(*) from public.agents where name like '%7%'")
        updating, again = await both(), await both()
    assert [each["total"] for each in (*cold, *updating, *again)] == [200] * 6
    assert sum(each["created"] for each in cold) == 200
    assert sum(each["updated"] for each in updating) == changed
    assert [each["skipped"] for each in again] == [200, 200]
    assert await real_pool.fetchval("select count(*) from agenthall.assistant_versions") == 200 + changed
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync where write_back_pending") == 0


async def test_one_that_leaves_the_scope_between_two_readings_is_not_synced(pool, catalogue, storage, real_pool):
    await catalogue.agents(3)

    class Slow(WatchedPool):
        async def fetch(self, query, *args):
            rows = await super().fetch(query, *args)
            await real_pool.execute("update public.agents set status = 'disabled' where name = 'agent 2'")
            return rows

    assert (await startup(Slow(real_pool), storage))["total"] == 2


async def test_the_catalogue_may_be_another_database(postgres, pool, storage, real_pool):
    async with catalogue_database(postgres, assistant_id="uuid") as elsewhere:
        await Catalogue(elsewhere).agents(20)
        assert (await startup(elsewhere, storage))["created"] == 20
        assert (await startup(elsewhere, storage))["skipped"] == 20
        wrong = "select count(*) from public.agents where langgraph_assistant_id is distinct from id"
        assert await elsewhere.fetchval(wrong) == 0


async def test_optional_columns_that_are_absent_are_named_once(postgres, pool, storage):
    drop = "alter table public.agents drop column is_global, drop column langgraph_assistant_id"
    async with catalogue_database(postgres, sql=drop) as elsewhere:
        await Catalogue(elsewhere).agents(30)
        with capture_logs() as logs:
            assert (await startup(elsewhere, storage, options=AgentSyncOptions(page_size=4)))["created"] == 30
        (line,) = [line for line in logs if line["log_level"] == "warning"]
        assert set(line["columns"]) == {"agents.is_global", "agents.langgraph_assistant_id"}


async def test_a_catalogue_that_goes_away_in_the_middle_leaves_what_was_synced(pool, catalogue, storage, real_pool):
    await catalogue.agents(50)

    class Failing(WatchedPool):
        async def fetch(self, query, *args):
            if len(self.statements) > 3:
                raise ConnectionResetError("gone")
            return await super().fetch(query, *args)

    with pytest.raises(CatalogueUnavailable):
        await startup(Failing(real_pool), storage, options=AgentSyncOptions(page_size=5))
    synced = await real_pool.fetchval("select count(*) from agenthall.assistants")
    assert 0 < synced < 50
    assert await startup(pool, storage) == {
        "total": 50,
        "created": 50 - synced,
        "updated": 0,
        "skipped": synced,
        "failed": 0,
    }


async def test_a_storage_that_is_away_ends_the_sync_with_an_error(pool, catalogue, agent_sync_dsn):
    await catalogue.agents(3)
    its_pool = await open_pool(agent_sync_dsn, Role.SYSTEM, size=1, name="closed")
    await its_pool.close()
    with pytest.raises(Unavailable):
        await startup(pool, PostgresAssistantStorage(its_pool), options=AgentSyncOptions(write_back=False))


class Faltering:
    """A storage's bulk that cannot apply at first, as after a deadlock."""

    def __init__(self, bulk, times):
        self.unchanged = bulk.unchanged
        self._bulk, self._times = bulk, times

    async def apply(self, page, owner_id):
        self._times -= 1
        if self._times >= 0:
            raise Unavailable("try again")
        return await self._bulk.apply(page, owner_id)


async def test_a_page_that_could_not_be_applied_now_is_tried_once_more(pool, catalogue, storage, real_pool):
    await catalogue.agents(10)
    bulk = storage.bulk
    storage.bulk = Faltering(bulk, 2)
    with pytest.raises(Unavailable):
        await startup(pool, storage)
    storage.bulk = Faltering(bulk, 1)
    assert (await startup(pool, storage))["created"] == 10


async def test_plans_do_not_stay_those_of_empty_tables(pool, catalogue, storage, real_pool):
    """With a plan of the first pages a page took seconds when there were thousands of lines."""
    await catalogue.agents(3000)
    await startup(pool, storage, options=AgentSyncOptions(page_size=100))
    async with asyncio.timeout(10):
        assert (await startup(pool, storage))["skipped"] == 3000


def test_what_can_work_by_the_page_is_told_by_its_methods(storage):
    assert is_bulk(storage.bulk)
    assert not is_bulk(None)
    assert not is_bulk(object())
