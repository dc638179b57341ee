"""The bulk path: the same rows, counters and logs as one agent after another, and less work for them."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from catalogues.catalogue_tables import CLEAR_TABLES, CatalogueEditor, catalogue_database
from catalogues.sync_storage import SingleAgentStore, get_assistant, run_full_pass
from structlog.testing import capture_logs

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, fetch_active_agent_by_id, startup_agent_sync
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

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
def storage(postgres_storage):
    return postgres_storage


def parsed(pool):
    """Statements that read whole agents."""
    return [each for each in pool.statements if "agent.*" in each]


async def everything(real_pool):
    return [[tuple(row) for row in await real_pool.fetch(query)] for query in (ASSISTANTS, VERSIONS, LEDGER)]


async def motley(catalogue):
    """Agents of every kind, good and bad."""
    plain = await catalogue.add_agent(system_prompt="prompt", description="text", graph_id="agent")
    await catalogue.add_agent(organization_id=None, sampling_params={"temperature": 1, "stop": ["x"]})
    tooled = await catalogue.add_agent(
        engine_id=await catalogue.add_engine("openai:other"), assistant_tool_ids=[uuid4()]
    )
    await catalogue.add_tool(tooled, "http://one.example/", "b", auth_required=True)
    await catalogue.add_tool(tooled, "http://one.example", "a")
    await catalogue.add_tool(tooled, "http://two.example/mcp", "c")
    for bad in ({"name": None}, {"sampling_params": {"api_key": 1}}, {"graph_id": "unheard"}, {"engine_id": uuid4()}):
        await catalogue.add_agent(**bad)
    await catalogue.add_agents(12)
    return plain, tooled


async def history(pool, catalogue, storage, real_pool, agents):
    """The results of four syncs: cold, unchanged, with changes, and with a column that cannot be written."""
    plain, tooled = agents
    seen = []

    async def sync():
        with capture_logs() as logs:
            counters = await run_full_pass(pool, storage, graphs=["agent"], options=AgentSyncOptions(page_size=5))
        lines = sorted(json.dumps(line, sort_keys=True) for line in logs)
        seen.append((counters, lines, await everything(real_pool)))

    await sync()
    await sync()
    await catalogue.update_agent(plain, name="Bob", system_prompt=None)
    await catalogue.update_agent(tooled, status="disabled")
    await sync()
    await catalogue.update_agent(tooled, status="active", langgraph_assistant_id=None)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("their trigger says no")
    await sync()
    return seen


async def test_both_paths_leave_the_same_rows_counters_and_logs(pool, catalogue, system_pool, real_pool):
    one_by_one, bulk = SingleAgentStore(system_pool), PostgresSyncStore(system_pool)
    agents = await motley(catalogue)
    columns = "langgraph_assistant_id = null, name = case when id = $1 then 'Ada' else name end"
    expected = await history(pool, catalogue, one_by_one, real_pool, agents)
    pool.refuse.clear()
    await real_pool.execute(CLEAR_TABLES.split(";")[1])
    await real_pool.execute(f"update public.agents set {columns}", agents[0])
    await catalogue.update_agent(agents[0], system_prompt="prompt")
    assert await history(pool, catalogue, bulk, real_pool, agents) == expected
    assert [each[0]["failed"] for each in expected] == [4, 4, 4, 4]
    assert [each[0]["updated"] for each in expected] == [0, 0, 1, 0]


async def test_where_nothing_changed_no_agent_is_read_and_the_ttl_is_renewed(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(30)
    await run_full_pass(pool, storage)
    await real_pool.execute("update agenthall.agent_sync set checked_at = now() - interval '1 hour'")
    pool.statements.clear()
    assert (await run_full_pass(pool, storage))["skipped"] == 30
    assert parsed(pool) == []
    old = "select count(*) from agenthall.agent_sync where checked_at < now() - interval '1 minute'"
    assert await real_pool.fetchval(old) == 0


async def test_only_what_changed_is_read(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(30)
    agent_id = await catalogue.add_agent(name="before")
    await run_full_pass(pool, storage)
    await catalogue.update_agent(agent_id, name="after")
    pool.statements.clear()
    assert (await run_full_pass(pool, storage))["updated"] == 1
    assert len(parsed(pool)) == 1
    assert (await get_assistant(storage, agent_id))["name"] == "after"


async def test_a_change_of_a_shared_row_reaches_every_agent_that_uses_it(pool, catalogue, storage, real_pool):
    engine = await catalogue.add_engine("openai:old")
    agents = [await catalogue.add_agent(engine_id=engine) for _ in range(3)]
    for agent_id in agents:
        await catalogue.add_tool(agent_id, "http://old.example", "tool")
    await run_full_pass(pool, storage)
    await real_pool.execute("update public.ai_models set runtime_model_name = 'openai:new'")
    assert (await run_full_pass(pool, storage))["updated"] == 3
    await real_pool.execute("update public.mcp_tools set endpoint_url = 'http://new.example'")
    assert (await run_full_pass(pool, storage))["updated"] == 3
    await real_pool.execute("delete from public.agent_mcp_tools")
    assert (await run_full_pass(pool, storage))["updated"] == 3
    assert (await run_full_pass(pool, storage))["skipped"] == 3


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
    agent_id = await catalogue.add_agent()
    await catalogue.add_tool(agent_id, "http://one.example", "tool")
    await run_full_pass(pool, storage, graphs=["agent"])
    assert (await run_full_pass(pool, storage, **{"graphs": ["agent"], **changed}))[expected] == 1


async def test_an_assistant_that_was_deleted_by_hand_is_made_again(pool, catalogue, either, real_pool):
    agent_id = await catalogue.add_agent()
    await run_full_pass(pool, either)
    await real_pool.execute("delete from agenthall.assistants")
    assert (await run_full_pass(pool, either))["created"] == 1
    assert (await get_assistant(either, agent_id))["version"] == 1


async def test_an_assistant_that_was_changed_by_hand_is_mended(pool, catalogue, either, real_pool):
    agent_id = await catalogue.add_agent(name="right")
    await run_full_pass(pool, either)
    await real_pool.execute("update agenthall.assistants set name = 'wrong', version = 2")
    assert (await run_full_pass(pool, either))["updated"] == 1
    row = await get_assistant(either, agent_id)
    assert (row["name"], row["version"]) == ("right", 3)
    assert (await run_full_pass(pool, either))["skipped"] == 1


async def test_an_edit_of_members_is_compared_once_and_kept(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent(system_prompt="first")
    await run_full_pass(pool, storage)
    await real_pool.execute(
        """update agenthall.assistants set version = 2, metadata = metadata || '{"tag": "x"}',
           config = jsonb_set(config, '{configurable,theirs}', '1') || '{"recursion_limit": 9}'"""
    )
    assert (await run_full_pass(pool, storage))["skipped"] == 1
    pool.statements.clear()
    assert (await run_full_pass(pool, storage))["skipped"] == 1
    assert parsed(pool) == []
    await catalogue.update_agent(agent_id, system_prompt="second")
    assert (await run_full_pass(pool, storage))["updated"] == 1
    row = await get_assistant(storage, agent_id)
    assert (row["config"]["recursion_limit"], row["metadata"]["tag"]) == (9, "x")
    assert row["config"]["configurable"]["theirs"] == 1
    assert row["config"]["configurable"]["system_prompt"] == "second"


async def test_an_agent_that_comes_back_is_compared_again(pool, catalogue, storage, real_pool):
    await catalogue.add_agent()
    await run_full_pass(pool, storage)
    await real_pool.execute("update agenthall.agent_sync set last_action = 'missing'")
    pool.statements.clear()
    assert (await run_full_pass(pool, storage))["skipped"] == 1
    assert len(parsed(pool)) == 1


async def test_an_id_that_is_somebody_elses_is_one_failure(pool, catalogue, either):
    agent_id = await catalogue.add_agent()
    await catalogue.add_agents(5)
    agent = await fetch_active_agent_by_id(pool, agent_id)
    await startup_agent_sync(pool, either, scope=AgentSyncScope.orgs([agent.organization_id]), owner_id="somebody")
    with capture_logs() as logs:
        assert await run_full_pass(pool, either) == {"total": 6, "created": 5, "updated": 0, "skipped": 0, "failed": 1}
    assert ["somebody else" in line["reason"] for line in logs if "reason" in line] == [True]


async def test_a_row_that_postgres_refuses_fails_alone_with_what_postgres_said(pool, catalogue, either, real_pool):
    await catalogue.add_agents(40)
    refused = [await catalogue.add_agent(name="refused") for _ in range(3)]
    await real_pool.execute("alter table agenthall.assistants add constraint mean check (name <> 'refused')")
    try:
        counters = await run_full_pass(pool, either)
    finally:
        await real_pool.execute("alter table agenthall.assistants drop constraint mean")
    assert counters == {"total": 43, "created": 40, "updated": 0, "skipped": 0, "failed": 3}
    kept = await real_pool.fetch("select agent_id, failure from agenthall.agent_sync where last_action = 'failed'")
    assert {row["agent_id"] for row in kept} == set(refused)
    assert all("mean" in row["failure"] for row in kept)
    assert (await run_full_pass(pool, either))["created"] == 3


async def test_the_catalogue_may_be_another_database(postgres, pool, storage, real_pool):
    async with catalogue_database(postgres, assistant_id="uuid") as elsewhere:
        await CatalogueEditor(elsewhere).add_agents(20)
        assert (await run_full_pass(elsewhere, storage))["created"] == 20
        assert (await run_full_pass(elsewhere, storage))["skipped"] == 20
        wrong = "select count(*) from public.agents where langgraph_assistant_id is distinct from id"
        assert await elsewhere.fetchval(wrong) == 0


async def test_optional_columns_that_are_absent_are_named_once(postgres, pool, storage):
    drop = "alter table public.agents drop column is_global, drop column langgraph_assistant_id"
    async with catalogue_database(postgres, sql=drop) as elsewhere:
        await CatalogueEditor(elsewhere).add_agents(30)
        with capture_logs() as logs:
            assert (await run_full_pass(elsewhere, storage, options=AgentSyncOptions(page_size=4)))["created"] == 30
        (line,) = [line for line in logs if line["log_level"] == "warning"]
        assert set(line["columns"]) == {"agents.is_global", "agents.langgraph_assistant_id"}


async def test_plans_do_not_stay_those_of_empty_tables(pool, catalogue, storage, real_pool):
    """With a plan of the first pages a page took seconds when there were thousands of lines."""
    await catalogue.add_agents(3000)
    await run_full_pass(pool, storage, options=AgentSyncOptions(page_size=100))
    async with asyncio.timeout(60):
        assert (await run_full_pass(pool, storage))["skipped"] == 3000
