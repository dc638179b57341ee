"""The known failures of the reference implementation: each is a test."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from catalogues.sync_storage import RecordingPool, count_writes, get_assistant, run_full_pass

from robyn_server.agent_sync import AgentRejected, lazy_sync_agent
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Role, open_pool


async def lazy(pool, storage, agent_id, **options):
    return await lazy_sync_agent(pool, storage, agent_id=agent_id, **{"owner_id": "local", **options})


async def test_two_replicas_that_sync_a_thousand_agents_at_once_fail_on_no_key(
    pool, catalogue, agent_sync_dsn, real_pool
):
    await catalogue.add_agents(1000)

    async def replica():
        async with asyncpg.create_pool(agent_sync_dsn, min_size=1, max_size=4) as its_catalogue:
            its_pool = await open_pool(agent_sync_dsn, Role.SYSTEM, size=8, name="replica")
            try:
                return await run_full_pass(its_catalogue, PostgresSyncStore(its_pool))
            finally:
                await its_pool.close()

    both = await asyncio.gather(replica(), replica())
    assert [each["total"] for each in both] == [1000, 1000]
    assert sum(each["created"] for each in both) == 1000
    assert sum(each["failed"] for each in both) == 0
    again = await replica()
    assert again == {"total": 1000, "created": 0, "updated": 0, "skipped": 1000, "failed": 0}
    assert await real_pool.fetchval("select count(*) from agenthall.assistant_versions") == 1000
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync where last_action = 'skipped'") == 1000
    assert await real_pool.fetchval("select count(*) from public.agents where langgraph_assistant_id <> id::text") == 0


async def test_agents_are_synced_several_at_a_time(pool, catalogue, one_by_one):
    storage = one_by_one
    await catalogue.add_agents(20)
    at_once, most = 0, 0
    get = storage.assistants.get

    async def watched(*args):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await get(*args)
        finally:
            at_once -= 1

    storage.assistants.get = watched
    await run_full_pass(pool, storage)
    assert 1 < most <= 8


async def test_a_disabled_agent_does_not_stay_runnable(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    await lazy(pool, storage, agent_id)
    await catalogue.update_agent(agent_id, status="disabled")
    assert await lazy(pool, storage, agent_id, cache_ttl=timedelta(0)) is None
    assert await lazy(pool, storage, agent_id) is None  # nor does the old check count as fresh
    await catalogue.update_agent(agent_id, status="active")
    assert await lazy(pool, storage, agent_id) == str(agent_id)


async def test_a_change_of_the_graph_is_not_ignored(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(graph_id="agent")
    await run_full_pass(pool, storage)
    await catalogue.update_agent(agent_id, graph_id="other")
    assert (await run_full_pass(pool, storage))["updated"] == 1
    assert (await get_assistant(storage, agent_id))["graph_id"] == "other"


async def test_a_skip_renews_the_ttl(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    ttl = timedelta(seconds=30)
    await lazy(pool, storage, agent_id)
    await _make_old(storage, agent_id, real_pool)
    pool.statements.clear()
    assert await lazy(pool, storage, agent_id, cache_ttl=ttl) == str(agent_id)
    assert pool.statements != []
    pool.statements.clear()
    assert await lazy(pool, storage, agent_id, cache_ttl=ttl) == str(agent_id)
    assert pool.statements == []
    assert await count_writes(storage, real_pool) == 1


async def _make_old(storage, agent_id, real_pool):
    if isinstance(storage, PostgresSyncStore):
        await real_pool.execute("update agenthall.agent_sync set checked_at = now() - interval '1 hour'")
        return
    # another process: it remembers nothing, and the assistant says that it was synced long ago
    rows = storage.assistants.rows
    rows[str(agent_id)]["metadata"]["synced_at"] = "2020-01-01T00:00:00+00:00"
    fresh = type(storage)()
    fresh.assistants.rows, fresh.assistants.writes = rows, storage.assistants.writes
    storage.assistants = fresh.assistants


async def test_a_second_users_first_reference_gets_the_same_assistant(pool, catalogue, storage, real_pool):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    for user in ("ada", "bob"):
        found = await lazy(
            pool,
            storage,
            agent_id,
            owner_id=user,
            organizations=frozenset([organization]),
            cache_ttl=timedelta(0),
        )
        assert found == str(agent_id)
    assert await count_writes(storage, real_pool) == 1
    assert (await get_assistant(storage, agent_id))["owner_id"] == "system"


async def test_another_organization_sees_neither_prompt_nor_url(pool, catalogue, system_pool, real_pool):
    organization, other = uuid4(), uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization, system_prompt="secret")
    await run_full_pass(pool, PostgresSyncStore(system_pool))
    visible = """select count(*) from agenthall.assistants where assistant_id = $1"""
    async with real_pool.acquire() as connection:
        for organizations, count in ((organization, 1), (other, 0)):
            async with connection.transaction():
                await connection.execute("set local role agenthall_app")
                await connection.execute("select agenthall.act_as('ada', $1, false)", f"{{{organizations}}}")
                assert await connection.fetchval(visible, agent_id) == count


async def test_sampling_params_overwrite_neither_model_nor_base_url(pool, catalogue, storage, real_pool):
    for params in ({"base_url": "http://evil"}, {"model_name": "evil"}, {"mcp_config": {}}):
        agent_id = await catalogue.add_agent(sampling_params=params)
        with pytest.raises(AgentRejected, match=next(iter(params))):
            await lazy(pool, storage, agent_id)
    assert await count_writes(storage, real_pool) == 0


async def test_one_malformed_row_fails_alone(pool, catalogue, storage, real_pool):
    await catalogue.add_agents(5)
    bad = [
        await catalogue.add_agent(name=None),
        await catalogue.add_agent(sampling_params=[1]),
        await catalogue.add_agent(sampling_params={"api_key": "x"}),
        await catalogue.add_agent(engine_id=uuid4()),
    ]
    counters = await run_full_pass(pool, storage)
    assert counters == {"total": 9, "created": 5, "updated": 0, "skipped": 0, "failed": 4}
    if isinstance(storage, PostgresSyncStore):
        kept = await real_pool.fetch("select agent_id, failure from agenthall.agent_sync where last_action = 'failed'")
        assert {row["agent_id"] for row in kept} == set(bad)
        assert all(str(row["agent_id"]) in row["failure"] for row in kept)


async def test_concurrent_first_requests_of_two_replicas_do_not_race(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    replicas = [RecordingPool(real_pool) for _ in range(8)]  # a pool of its own is a flight of its own
    found = await asyncio.gather(*(lazy(each, storage, agent_id) for each in replicas))
    assert found == [str(agent_id)] * 8
    assert await count_writes(storage, real_pool) == 1
