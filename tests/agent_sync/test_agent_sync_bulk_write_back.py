"""Writing back by the page: one statement, and what it cannot write is owed with a reason."""

from __future__ import annotations

import asyncio

import pytest
from agent_sync_surroundings import Catalogue, catalogue_database

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, bulk_write_back, startup_agent_sync
from robyn_server.agent_sync.bulk_write_back import REFUSALS, write_back_page
from robyn_server.storage.synced_assistants import PostgresAssistantStorage

ALL = AgentSyncScope("all")
WRONG = "select id from public.agents where langgraph_assistant_id::text is distinct from id::text"
MEAN = """
create function public.mean() returns trigger language plpgsql as $$
begin
  if new.name like 'mean%' then raise exception 'no: %', new.name; end if;
  return new;
end $$;
create trigger mean before update on public.agents for each row execute function public.mean();
"""


async def ids(pool):
    return [row["id"] for row in await pool.fetch("select id from public.agents order by id")]


@pytest.mark.parametrize("column_type", ["uuid", "text", "varchar(40)"])
async def test_a_page_is_written_in_one_statement_whatever_the_columns_type(postgres, column_type):
    async with catalogue_database(postgres, assistant_id=column_type) as pool:
        await Catalogue(pool).agents(50)
        assert await write_back_page(pool, await ids(pool)) == {}
        assert await pool.fetch(WRONG) == []


async def test_what_is_right_already_is_not_written_again(pool, catalogue, real_pool):
    await catalogue.agents(10)
    assert await write_back_page(pool, await ids(real_pool)) == {}
    before = await real_pool.fetch("select id, xmin::text from public.agents order by id")
    assert await write_back_page(pool, await ids(real_pool)) == {}
    assert await real_pool.fetch("select id, xmin::text from public.agents order by id") == before


async def test_rows_that_a_trigger_refuses_are_owed_alone(postgres):
    async with catalogue_database(postgres, sql=MEAN) as pool:
        catalogue = Catalogue(pool)
        await catalogue.agents(100)
        mean = await catalogue.agent(name="mean one")
        assert await write_back_page(pool, await ids(pool)) == {mean: "no: mean one"}
        assert [row["id"] for row in await pool.fetch(WRONG)] == [mean]


async def test_where_all_are_refused_it_ends_soon_and_all_are_owed(pool, catalogue, real_pool):
    await catalogue.agents(300)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("read only")
    agents = await ids(real_pool)
    assert await write_back_page(pool, agents) == dict.fromkeys(agents, "read only")
    assert len(pool.statements) <= REFUSALS


async def test_a_row_that_the_product_holds_keeps_no_other_waiting(pool, catalogue, real_pool, monkeypatch):
    monkeypatch.setattr("robyn_server.agent_sync.write_back.WRITE_SECONDS", 0.2)
    await catalogue.agents(20)
    agents = await ids(real_pool)
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute("select from public.agents where id = $1 for update", agents[3])
        assert list(await write_back_page(pool, agents)) == [agents[3]]
    assert [row["id"] for row in await real_pool.fetch(WRONG)] == [agents[3]]


async def test_a_table_that_is_locked_is_given_up_at_once(pool, catalogue, real_pool, monkeypatch):
    monkeypatch.setattr(bulk_write_back, "WRITE_SECONDS", 0.2)
    await catalogue.agents(20)
    agents = await ids(real_pool)
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table public.agents in access exclusive mode")
        assert set(await write_back_page(pool, agents)) == set(agents)
    assert len(pool.statements) == 1


async def test_two_at_once_owe_nothing(pool, catalogue, real_pool):
    await catalogue.agents(200)
    agents = await ids(real_pool)
    both = await asyncio.gather(write_back_page(pool, agents), write_back_page(pool, agents))
    assert both == [{}, {}]
    assert await real_pool.fetch(WRONG) == []


async def test_what_is_owed_is_noted_and_the_next_sync_pays_without_reading_agents(
    pool, catalogue, system_pool, real_pool
):
    storage = PostgresAssistantStorage(system_pool)
    await catalogue.agents(150)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("away")
    counters = await startup_agent_sync(pool, storage, scope=ALL, owner_id="system")
    assert (counters["created"], counters["failed"]) == (150, 0)
    owed = "select count(*) from agenthall.agent_sync where write_back_pending"
    assert await real_pool.fetchval(owed) == 150
    pool.refuse.clear()
    pool.statements.clear()
    assert (await startup_agent_sync(pool, storage, scope=ALL, owner_id="system"))["skipped"] == 150
    assert await real_pool.fetchval(owed) == 0
    assert await real_pool.fetch(WRONG) == []
    assert not [each for each in pool.statements if "agent.*" in each]


async def test_it_can_be_switched_off(pool, catalogue, system_pool, real_pool):
    await catalogue.agents(5)
    options = AgentSyncOptions(write_back=False)
    await startup_agent_sync(pool, PostgresAssistantStorage(system_pool), scope=ALL, owner_id="system", options=options)
    assert len(await real_pool.fetch(WRONG)) == 5
