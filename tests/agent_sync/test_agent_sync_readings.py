"""Two syncs of one agent interleave: of two readings the later one holds, whichever is applied last."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from agent_sync_surroundings import ALL, count_of_writes, startup, stored
from template_copies import NEVER_FRESH, ON, copies_of, lazy, prompts

from robyn_server.agent_sync import (
    AgentSyncOptions,
    fetch_active_agent_by_id,
    lazy_sync_agent,
    sync_changed_agents,
    sync_single_agent,
)
from robyn_server.agent_sync.fingerprints import FingerprintedCatalogue, mapping_fingerprint
from robyn_server.agent_sync.payload import _assistant_payload_for_agent
from robyn_server.core.catalogue import Superseded, SyncAction
from robyn_server.core.ids import user_assistant_id
from robyn_server.storage.synced_assistants import PostgresAssistantStorage


@pytest.fixture
def storage(postgres_storage):
    return postgres_storage


class Readings:
    """Readings of the catalogue, kept to be applied later."""

    def __init__(self, pool, storage):
        self.pool, self.storage = pool, storage

    async def one(self, agent_id):
        return await fetch_active_agent_by_id(self.pool, agent_id)

    async def row(self, agent_id):
        """As the bulk path reads it."""
        catalogue = FingerprintedCatalogue(self.pool, ALL, mapping_fingerprint(AgentSyncOptions(), None))
        (row,) = await catalogue.rows([agent_id])
        return row

    async def apply(self, agent):
        result = await sync_single_agent(self.pool, self.storage, agent=agent, owner_id="system")
        return result.action

    async def apply_row(self, agent, row):
        page = [(_assistant_payload_for_agent(agent), row["fingerprint"])]
        return (await self.storage.bulk.apply(page, "system")).get(agent.agent_id)

    async def prompt(self, agent_id):
        return (await stored(self.storage, agent_id))["config"]["configurable"]["system_prompt"]


@pytest.fixture
def readings(pool, storage):
    return Readings(pool, storage)


async def edited(catalogue, readings):
    """(agent id, what was read before its edit, as a row, what was read after, as a row); applied is what was before both."""
    agent_id = await catalogue.agent(system_prompt="first")
    await readings.apply(await readings.one(agent_id))
    await catalogue.change(agent_id, system_prompt="old")
    old, old_row = await readings.one(agent_id), await readings.row(agent_id)
    await catalogue.change(agent_id, system_prompt="new")
    return agent_id, old, old_row, await readings.one(agent_id), await readings.row(agent_id)


@pytest.mark.parametrize("last", ["one by one", "bulk"])
@pytest.mark.parametrize("first", ["one by one", "bulk"])
async def test_an_old_reading_that_is_applied_last_loses(catalogue, readings, storage, real_pool, first, last):
    agent_id, old, old_row, new, new_row = await edited(catalogue, readings)
    new_one = readings.apply(new) if first == "one by one" else readings.apply_row(new, new_row)
    assert await new_one is SyncAction.UPDATED
    writes = await count_of_writes(storage, real_pool)
    old_one = readings.apply(old) if last == "one by one" else readings.apply_row(old, old_row)
    assert await old_one is SyncAction.SKIPPED
    assert await readings.prompt(agent_id) == "new"
    assert await count_of_writes(storage, real_pool) == writes


@pytest.mark.parametrize("path", ["one by one", "bulk"])
async def test_a_later_reading_that_changed_nothing_counts_too(catalogue, readings, path):
    """From first to old and back: who read the one in the middle must not bring it back."""
    agent_id = await catalogue.agent(system_prompt="first")
    await readings.apply(await readings.one(agent_id))
    await catalogue.change(agent_id, system_prompt="old")
    old, old_row = await readings.one(agent_id), await readings.row(agent_id)
    await catalogue.change(agent_id, system_prompt="first")
    assert await readings.apply(await readings.one(agent_id)) is SyncAction.SKIPPED
    await (readings.apply(old) if path == "one by one" else readings.apply_row(old, old_row))
    assert await readings.prompt(agent_id) == "first"


async def test_a_page_that_was_unchanged_counts_too(catalogue, readings, pool, storage):
    agent_id = await catalogue.agent(system_prompt="first")
    await startup(pool, storage)
    await catalogue.change(agent_id, system_prompt="old")
    old, old_row = await readings.one(agent_id), await readings.row(agent_id)
    await catalogue.change(agent_id, system_prompt="first")
    counts = await startup(pool, storage)
    assert counts["skipped"] == 1
    await readings.apply_row(old, old_row)
    await readings.apply(old)
    assert await readings.prompt(agent_id) == "first"


async def test_the_later_one_wins_though_the_older_one_is_being_written(catalogue, readings, system_pool):
    """The older holds the agent's line when the later comes: that waits, and writes after it."""
    agent_id, old, _, new, _ = await edited(catalogue, readings)
    async with system_pool.acquire() as held, held.transaction():
        await held.execute("select from agenthall.agent_sync where agent_id = $1 for update", agent_id)
        both = [asyncio.create_task(readings.apply(each)) for each in (old, new)]
        await asyncio.wait(both, timeout=0.05)
    assert SyncAction.UPDATED in await asyncio.gather(*both)
    assert await readings.prompt(agent_id) == "new"


async def test_who_was_found_gone_is_not_brought_back_by_an_older_reading(catalogue, readings, pool, storage):
    agent_id = await catalogue.agent(system_prompt="first")
    await readings.apply(await readings.one(agent_id))
    old, old_row = await readings.one(agent_id), await readings.row(agent_id)
    await catalogue.change(agent_id, status="off")
    assert await sync_changed_agents(pool, storage, agent_ids=[agent_id]) == {"missing": 1}
    await readings.apply(old)
    await readings.apply_row(old, old_row)
    assert (await stored(storage, agent_id))["retired_at"] is not None


async def test_who_is_back_is_not_retired_by_an_older_reading(catalogue, readings, storage):
    agent_id = await catalogue.agent(system_prompt="first")
    before = (await readings.one(agent_id)).read_at
    await readings.apply(await readings.one(agent_id))
    assert await storage.retirement.retire([agent_id], before) == 0
    assert await storage.retirement.retire([agent_id]) == 1


async def test_copies_of_a_template_keep_the_later_reading(catalogue, readings, pool, storage):
    agent_id = await catalogue.agent(system_prompt="old", is_global=False)
    await lazy(pool, storage, agent_id, "anna")
    old = _assistant_payload_for_agent(await readings.one(agent_id))
    await catalogue.change(agent_id, system_prompt="new")
    await sync_changed_agents(pool, storage, agent_ids=[agent_id], options=ON)
    assert await storage.copies.update([old]) == {agent_id: SyncAction.SKIPPED}
    bobs = user_assistant_id(agent_id, "bob")
    assert prompts(await copies_of(storage, agent_id, ["anna"])) == ["new"]
    with pytest.raises(Superseded):
        await storage.assistants.create({**old, "assistant_id": str(bobs)}, "bob")
    assert await storage.assistants.get(str(bobs), "bob") is None, "a new copy is as new as the others"


async def test_a_clock_that_was_set_back_is_believed(catalogue, readings, real_pool):
    agent_id, _, _, new, _ = await edited(catalogue, readings)
    await real_pool.execute("update agenthall.agent_sync set read_at = now() + interval '1 hour'")
    assert await readings.apply(new) is SyncAction.UPDATED
    kept = await real_pool.fetchval("select read_at from agenthall.agent_sync where agent_id = $1", agent_id)
    assert kept == new.read_at


async def test_many_syncs_at_once_end_with_the_last_edit(catalogue, pool, system_pool, readings):
    """Passes, feed and lazy syncs over one agent that is edited all the while."""
    agent_id: UUID = await catalogue.agent(id=uuid4(), system_prompt="0")
    replicas = [PostgresAssistantStorage(system_pool) for _ in range(3)]

    async def look(storage, number):
        if number % 3 == 0:
            await startup(pool, storage)
        elif number % 3 == 1:
            await sync_changed_agents(pool, storage, agent_ids=[agent_id])
        else:
            await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id="system", cache_ttl=NEVER_FRESH)

    async with asyncio.TaskGroup() as group:
        for edit in range(1, 31):
            await catalogue.change(agent_id, system_prompt=str(edit))
            group.create_task(look(replicas[edit % 3], edit // 3))
    await sync_changed_agents(pool, replicas[0], agent_ids=[agent_id])
    prompts = [
        int(row["prompt"])
        for row in await pool.fetch(
            "select config -> 'configurable' ->> 'system_prompt' as prompt from agenthall.assistant_versions order by version"
        )
    ]
    assert prompts == sorted(set(prompts)), "no version brings an older one back"
    assert prompts[-1] == 30
