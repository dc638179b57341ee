"""The bulk path beside others that work on the same rows, and when a database goes away in the middle."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from catalogues.sync_storage import RecordingPool, run_full_pass
from servers.live_server import until

from robyn_server.agent_sync import AgentSyncOptions
from robyn_server.core.errors import CatalogueUnavailable, Unavailable
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Role, open_pool


@pytest.fixture
def storage(postgres_storage):
    return postgres_storage


async def test_an_assistant_that_somebody_holds_keeps_no_other_waiting(pool, catalogue, storage, real_pool):
    held = await catalogue.add_agent(name="before")
    await run_full_pass(pool, storage)
    await catalogue.update_agent(held, name="after")
    await catalogue.add_agents(20)
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute("select from agenthall.assistants where assistant_id = $1 for update", held)
        sync = asyncio.create_task(run_full_pass(pool, storage))
        await until(lambda: real_pool.fetchval("select count(*) = 21 from agenthall.assistants"))
        assert not sync.done()
    assert await sync == {"total": 21, "created": 20, "updated": 1, "skipped": 0, "failed": 0}


@asynccontextmanager
async def replica(dsn):
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as its_catalogue:
        its_pool = await open_pool(dsn, Role.SYSTEM, size=4, name="replica")
        try:
            yield its_catalogue, PostgresSyncStore(its_pool)
        finally:
            await its_pool.close()


@pytest.mark.parametrize("sizes", [(500, 500), (7, 20), (50, 3)])
async def test_two_replicas_with_pages_of_any_size_create_each_agent_once(
    pool, catalogue, agent_sync_dsn, real_pool, sizes
):
    await catalogue.add_agents(200)
    async with replica(agent_sync_dsn) as first, replica(agent_sync_dsn) as second:

        async def both():
            return await asyncio.gather(
                *(
                    run_full_pass(*each, options=AgentSyncOptions(page_size=size))
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
    await catalogue.add_agents(3)

    class Slow(RecordingPool):
        async def fetch(self, query, *args):
            rows = await super().fetch(query, *args)
            await real_pool.execute("update public.agents set status = 'disabled' where name = 'agent 2'")
            return rows

    assert (await run_full_pass(Slow(real_pool), storage))["total"] == 2


async def test_a_catalogue_that_goes_away_in_the_middle_leaves_what_was_synced(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(50)

    class Failing(RecordingPool):
        async def fetch(self, query, *args):
            if len(self.statements) > 3:
                raise ConnectionResetError("gone")
            return await super().fetch(query, *args)

    with pytest.raises(CatalogueUnavailable):
        await run_full_pass(Failing(real_pool), storage, options=AgentSyncOptions(page_size=5))
    synced = await real_pool.fetchval("select count(*) from agenthall.assistants")
    assert 0 < synced < 50
    assert await run_full_pass(pool, storage) == {
        "total": 50,
        "created": 50 - synced,
        "updated": 0,
        "skipped": synced,
        "failed": 0,
    }


async def test_a_storage_that_is_away_ends_the_sync_with_an_error(pool, catalogue, agent_sync_dsn):
    await catalogue.add_agents(3)
    its_pool = await open_pool(agent_sync_dsn, Role.SYSTEM, size=1, name="closed")
    await its_pool.close()
    with pytest.raises(Unavailable):
        await run_full_pass(pool, PostgresSyncStore(its_pool), options=AgentSyncOptions(write_back=False))


class Faltering(PostgresSyncStore):
    """A store that cannot apply a page at first, as after a deadlock."""

    refusals = 0

    async def apply(self, page, owner_id):
        self.refusals -= 1
        if self.refusals >= 0:
            raise Unavailable("try again")
        return await super().apply(page, owner_id)


async def test_a_page_that_could_not_be_applied_now_is_tried_once_more(pool, catalogue, system_pool):
    await catalogue.add_agents(10)
    storage = Faltering(system_pool)
    storage.refusals = 2
    with pytest.raises(Unavailable):
        await run_full_pass(pool, storage)
    storage.refusals = 1
    assert (await run_full_pass(pool, storage))["created"] == 10
