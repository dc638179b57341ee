"""Write-back by the page: one statement, and a row that it cannot write is pending with a reason."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import TABLES, CatalogueEditor, catalogue_database
from catalogues.sync_storage import RecordingPool
from databases import fresh_database
from servers.live_server import DEADLINE
from structlog.testing import capture_logs

from robyn_server.agent_sync import (
    AgentSyncOptions,
    AgentSyncScope,
    lazy_sync_agent,
    retire_absent_agents,
    retry_write_backs,
    startup_agent_sync,
    sync_changed_agents,
    sync_named_agent,
)
from robyn_server.agent_sync.engine import write_back
from robyn_server.agent_sync.engine.named_agents import MANY
from robyn_server.agent_sync.engine.write_back import REFUSALS, RowNotWritten, write_back_page
from robyn_server.metrics.store import own_registry
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

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
        await CatalogueEditor(pool).add_agents(50)
        assert await write_back_page(pool, await ids(pool)) == {}
        assert await pool.fetch(WRONG) == []


async def test_what_is_right_already_is_not_written_again(pool, catalogue, real_pool):
    await catalogue.add_agents(10)
    assert await write_back_page(pool, await ids(real_pool)) == {}
    before = await real_pool.fetch("select id, xmin::text from public.agents order by id")
    assert await write_back_page(pool, await ids(real_pool)) == {}
    assert await real_pool.fetch("select id, xmin::text from public.agents order by id") == before


async def test_only_rows_that_a_trigger_refuses_are_pending(postgres):
    async with catalogue_database(postgres, sql=MEAN) as pool:
        catalogue = CatalogueEditor(pool)
        await catalogue.add_agents(100)
        mean = await catalogue.add_agent(name="mean one")
        assert await write_back_page(pool, await ids(pool)) == {mean: "no: mean one"}
        assert [row["id"] for row in await pool.fetch(WRONG)] == [mean]


async def test_where_all_are_refused_it_ends_soon_and_all_are_pending(pool, catalogue, real_pool):
    await catalogue.add_agents(300)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("read only")
    agents = await ids(real_pool)
    assert await write_back_page(pool, agents) == dict.fromkeys(agents, "read only")
    assert len(pool.statements) <= REFUSALS


@asynccontextmanager
async def locked(real_pool, lock, *args):
    """Hold a lock, as a transaction of the product does."""
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute(lock, *args)
        yield


ROW_LOCK = "select from public.agents where id = $1 for update"
TABLE_LOCK = "lock table public.agents in exclusive mode"


@pytest.fixture
def unhurried(monkeypatch):
    """A write that waits for a lock fails its test by the deadline."""
    for name in ("WRITE_SECONDS", "PAGE_SECONDS"):
        monkeypatch.setattr(write_back, name, 3600)


async def test_a_row_that_the_product_holds_is_pending_and_nobody_waits(pool, catalogue, real_pool, unhurried):
    await catalogue.add_agents(20)
    agents = await ids(real_pool)
    async with locked(real_pool, ROW_LOCK, agents[3]), asyncio.timeout(DEADLINE):
        assert list(await write_back_page(pool, agents)) == [agents[3]]
        with pytest.raises(RowNotWritten):
            await write_back.write_back(pool, agents[3], str(agents[3]))
    assert [row["id"] for row in await real_pool.fetch(WRONG)] == [agents[3]]


@pytest.mark.parametrize("path", ["reference", "edit", "many edits", "request"])
async def test_no_path_waits_for_a_row_that_the_product_holds(
    path, pool, catalogue, postgres_storage, real_pool, unhurried
):
    agent_id = await catalogue.add_agent()
    edited = [agent_id]
    if path == "many edits":
        await catalogue.add_agents(MANY)
        edited = await ids(real_pool)
    async with locked(real_pool, ROW_LOCK, agent_id), asyncio.timeout(DEADLINE):
        if path == "reference":
            assert await lazy_sync_agent(pool, postgres_storage, agent_id=agent_id, owner_id="anna")
        elif path == "request":
            assert (await sync_named_agent(pool, postgres_storage, agent_id)).action == "created"
        else:
            assert await sync_changed_agents(
                pool, postgres_storage, agent_ids=edited, options=AgentSyncOptions(scope=ALL)
            ) == {"created": len(edited)}
    assert await postgres_storage.pending_write_backs(None, 10) == [(agent_id, agent_id)]
    await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system")
    assert await real_pool.fetch(WRONG) == []
    assert await postgres_storage.pending_write_backs(None, 10) == []


async def test_a_pending_row_that_stays_locked_holds_up_no_other(
    pool, catalogue, postgres_storage, real_pool, unhurried
):
    await catalogue.add_agents(5)
    first, *others = await ids(real_pool)
    pool.refuse["set langgraph_assistant_id"] = RuntimeError("away")
    await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system")
    pool.refuse.clear()
    async with locked(real_pool, ROW_LOCK, first), asyncio.timeout(DEADLINE):
        assert await retry_write_backs(pool, postgres_storage) == len(others)
    assert await postgres_storage.pending_write_backs(None, 10) == [(first, first)]


async def test_a_table_that_is_locked_is_given_up_at_once(pool, catalogue, real_pool, monkeypatch):
    for name in ("WRITE_SECONDS", "PAGE_SECONDS"):
        monkeypatch.setattr(write_back, name, 0.2)
    await catalogue.add_agents(20)
    agents = await ids(real_pool)
    async with locked(real_pool, TABLE_LOCK):
        assert set(await write_back_page(pool, agents)) == set(agents)
        with pytest.raises(TimeoutError):
            await write_back.write_back(pool, agents[0], str(agents[0]))
    assert len(pool.statements) == 2


async def test_two_at_once_write_every_row_and_fail_none(pool, catalogue, real_pool):
    await catalogue.add_agents(200)
    agents = await ids(real_pool)
    failed = count_failures()
    await asyncio.gather(write_back_page(pool, agents), write_back_page(pool, agents))
    assert await real_pool.fetch(WRONG) == []
    assert count_failures() == failed


@asynccontextmanager
async def catalogue_for_readers(postgres, reason="no privilege"):
    """The owner's pool, and a pool that may only read the catalogue of 30 agents; with the name of its role."""
    role = f"reader_{uuid4().hex[:8]}"
    settings = {"default_transaction_read_only": "on"} if reason == "read-only" else {"role": role}
    async with (
        fresh_database(postgres) as dsn,
        asyncpg.create_pool(dsn, min_size=1, max_size=2) as own,
        asyncpg.create_pool(dsn, min_size=0, max_size=2, server_settings=settings) as reader,
    ):
        await own.execute(TABLES.format(assistant_id="text"))
        await CatalogueEditor(own).add_agents(30)
        await own.execute(
            f"create role {role}; grant usage on schema public to {role};"
            f" grant select on all tables in schema public to {role}"
        )
        yield own, reader, role
        await own.execute(f"drop owned by {role}; drop role {role}")


def count_failures():
    return own_registry().get_sample_value("agenthall_agent_sync_write_back_failures_total") or 0


@pytest.mark.parametrize("reason", ["no privilege", "read-only"])
async def test_in_a_catalogue_that_may_only_be_read_nothing_is_tried_twice_and_nothing_is_pending(
    postgres, reason, postgres_storage, pool
):
    async with catalogue_for_readers(postgres, reason) as (own, reader, _):
        agent_id, *_ = await ids(own)
        pool, failed = RecordingPool(reader), count_failures()
        with capture_logs() as logs:
            for _ in range(2):
                await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system")
                await sync_changed_agents(pool, postgres_storage, agent_ids=[agent_id])
                await lazy_sync_agent(pool, postgres_storage, agent_id=agent_id, owner_id="anna", cache_ttl=0)
        assert sum("set langgraph_assistant_id" in each for each in pool.statements) == 1
        assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
            "the catalogue may only be read: no assistant ids are written back"
        ]
        assert await postgres_storage.pending_write_backs(None, 100) == []
        assert count_failures() == failed


async def test_once_it_may_be_written_the_ids_are_written_back(postgres, postgres_storage, pool):
    async with catalogue_for_readers(postgres) as (own, reader, role):
        await startup_agent_sync(reader, postgres_storage, scope=ALL, owner_id="system")
        await own.execute(f"grant update (langgraph_assistant_id) on public.agents to {role}")
        await retire_absent_agents(reader, postgres_storage, ALL)  # probes, as each pass does
        await startup_agent_sync(reader, postgres_storage, scope=ALL, owner_id="system")
        assert await own.fetch(WRONG) == []


async def test_a_refusal_by_a_trigger_is_a_failure_of_its_row(postgres):
    sql = MEAN.replace("raise exception 'no: %', new.name", "raise insufficient_privilege using message = 'not you'")
    async with catalogue_database(postgres, sql=sql) as pool:
        mean = await CatalogueEditor(pool).add_agent(name="mean one")
        assert await write_back_page(pool, [mean]) == {mean: "not you"}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await write_back.write_back(pool, mean, str(mean))


async def test_a_pending_write_back_is_recorded_and_the_next_sync_repeats_it_without_reading_agents(
    pool, catalogue, system_pool, real_pool
):
    storage = PostgresSyncStore(system_pool)
    await catalogue.add_agents(150)
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
    await catalogue.add_agents(5)
    options = AgentSyncOptions(write_back=False)
    await startup_agent_sync(pool, PostgresSyncStore(system_pool), scope=ALL, owner_id="system", options=options)
    assert len(await real_pool.fetch(WRONG)) == 5
