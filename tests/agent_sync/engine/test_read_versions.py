"""Two syncs of one agent interleave: the later of two reads holds, whichever is applied last."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from catalogues.catalogue_tables import ALL
from catalogues.sync_storage import count_writes, get_assistant, run_full_pass
from catalogues.template_agents import NEVER_FRESH, ON, get_copies, sync_for_user, system_prompts
from servers.live_server import until

from robyn_server.agent_sync import (
    AgentSyncOptions,
    fetch_active_agent_by_id,
    lazy_sync_agent,
    sync_changed_agents,
    sync_single_agent,
)
from robyn_server.agent_sync.catalogue_db.fingerprints import FingerprintedCatalogue, mapping_fingerprint
from robyn_server.agent_sync.mapping import _assistant_payload_for_agent
from robyn_server.core.catalogue.fields import StaleRead, SyncAction
from robyn_server.core.ids import user_assistant_id
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

CLAIM = "insert into agenthall.agent_sync (agent_id, source, last_action) values ($1, 'catalogue', 'missing')"
HOLD = """
with held as (select from agenthall.assistants where assistant_id = $1 for no key update nowait)
select count(*)::int::bool from held
"""
INSERT = """
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility, origin, catalogue_hash)
values ($1, 'agent', 'just created', 'system', 'organization', 'catalogue', '')
"""
IS_WAITING = "select exists (select from pg_locks where not granted and locktype = 'transactionid')"


@pytest.fixture
def storage(postgres_storage):
    return postgres_storage


class Reads:
    """Reads of the catalogue, kept to be applied later."""

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
        applied = (await self.storage.apply(page, "system")).get(agent.agent_id)
        return None if applied is None else applied.action

    async def prompt(self, agent_id):
        return (await get_assistant(self.storage, agent_id))["config"]["configurable"]["system_prompt"]


@pytest.fixture
def reads(pool, storage):
    return Reads(pool, storage)


async def edited(catalogue, reads):
    """(agent id, what was read before its edit, as a row, what was read after, as a row); applied is what was before
    both."""
    agent_id = await catalogue.add_agent(system_prompt="first")
    await reads.apply(await reads.one(agent_id))
    await catalogue.update_agent(agent_id, system_prompt="old")
    old, old_row = await reads.one(agent_id), await reads.row(agent_id)
    await catalogue.update_agent(agent_id, system_prompt="new")
    return agent_id, old, old_row, await reads.one(agent_id), await reads.row(agent_id)


@pytest.mark.parametrize("last", ["one by one", "bulk"])
@pytest.mark.parametrize("first", ["one by one", "bulk"])
async def test_an_old_reading_that_is_applied_last_loses(catalogue, reads, storage, real_pool, first, last):
    agent_id, old, old_row, new, new_row = await edited(catalogue, reads)
    new_one = reads.apply(new) if first == "one by one" else reads.apply_row(new, new_row)
    assert await new_one is SyncAction.UPDATED
    writes = await count_writes(storage, real_pool)
    old_one = reads.apply(old) if last == "one by one" else reads.apply_row(old, old_row)
    assert await old_one is SyncAction.SKIPPED
    assert await reads.prompt(agent_id) == "new"
    assert await count_writes(storage, real_pool) == writes


@pytest.mark.parametrize("path", ["one by one", "bulk"])
async def test_a_later_reading_that_changed_nothing_counts_too(catalogue, reads, path):
    """From first to old and back: who read the one in the middle must not bring it back."""
    agent_id = await catalogue.add_agent(system_prompt="first")
    await reads.apply(await reads.one(agent_id))
    await catalogue.update_agent(agent_id, system_prompt="old")
    old, old_row = await reads.one(agent_id), await reads.row(agent_id)
    await catalogue.update_agent(agent_id, system_prompt="first")
    assert await reads.apply(await reads.one(agent_id)) is SyncAction.SKIPPED
    await (reads.apply(old) if path == "one by one" else reads.apply_row(old, old_row))
    assert await reads.prompt(agent_id) == "first"


async def test_a_page_that_was_unchanged_counts_too(catalogue, reads, pool, storage):
    agent_id = await catalogue.add_agent(system_prompt="first")
    await run_full_pass(pool, storage)
    await catalogue.update_agent(agent_id, system_prompt="old")
    old, old_row = await reads.one(agent_id), await reads.row(agent_id)
    await catalogue.update_agent(agent_id, system_prompt="first")
    counts = await run_full_pass(pool, storage)
    assert counts["skipped"] == 1
    await reads.apply_row(old, old_row)
    await reads.apply(old)
    assert await reads.prompt(agent_id) == "first"


async def test_the_later_one_wins_though_the_older_one_is_being_written(catalogue, reads, system_pool):
    """The older holds the agent's line when the later comes: that waits, and writes after it."""
    agent_id, old, _, new, _ = await edited(catalogue, reads)
    async with system_pool.acquire() as held, held.transaction():
        await held.execute("select from agenthall.agent_sync where agent_id = $1 for update", agent_id)
        both = [asyncio.create_task(reads.apply(each)) for each in (old, new)]
        await asyncio.wait(both, timeout=0.05)
    assert SyncAction.UPDATED in await asyncio.gather(*both)
    assert await reads.prompt(agent_id) == "new"


async def test_an_agent_that_was_found_gone_is_not_brought_back_by_an_older_read(catalogue, reads, pool, storage):
    agent_id = await catalogue.add_agent(system_prompt="first")
    await reads.apply(await reads.one(agent_id))
    old, old_row = await reads.one(agent_id), await reads.row(agent_id)
    await catalogue.update_agent(agent_id, status="off")
    assert await sync_changed_agents(pool, storage, agent_ids=[agent_id]) == {"missing": 1}
    await reads.apply(old)
    await reads.apply_row(old, old_row)
    assert (await get_assistant(storage, agent_id))["retired_at"] is not None


async def test_an_agent_that_is_back_is_not_retired_by_an_older_read(catalogue, reads, storage):
    agent_id = await catalogue.add_agent(system_prompt="first")
    before = (await reads.one(agent_id)).read_at
    await reads.apply(await reads.one(agent_id))
    assert await storage.retire([agent_id], before) == 0
    assert await storage.retire([agent_id]) == 1


async def test_copies_of_a_template_keep_the_later_reading(catalogue, reads, pool, storage):
    agent_id = await catalogue.add_agent(system_prompt="old", is_global=False)
    await sync_for_user(pool, storage, agent_id, "anna")
    old = _assistant_payload_for_agent(await reads.one(agent_id))
    await catalogue.update_agent(agent_id, system_prompt="new")
    await sync_changed_agents(pool, storage, agent_ids=[agent_id], options=ON)
    assert await storage.update_copies([old]) == {agent_id: SyncAction.SKIPPED}
    bobs = user_assistant_id(agent_id, "bob")
    assert system_prompts(await get_copies(storage, agent_id, ["anna"])) == ["new"]
    with pytest.raises(StaleRead):
        await storage.assistants.create({**old, "assistant_id": str(bobs)}, "bob")
    assert await storage.assistants.get(str(bobs), "bob") is None, "a new copy is as new as the others"


@pytest.mark.parametrize("by", ["1 hour", "4 minutes", "61 seconds"])
async def test_a_clock_that_was_set_back_is_believed(catalogue, reads, real_pool, by):
    agent_id, _, _, new, _ = await edited(catalogue, reads)
    await real_pool.execute(f"update agenthall.agent_sync set read_at = now() + interval '{by}'")
    assert await reads.apply(new) is SyncAction.UPDATED
    kept = await real_pool.fetchval("select read_at from agenthall.agent_sync where agent_id = $1", agent_id)
    assert kept == new.read_at


@pytest.mark.parametrize("has_assistant", [False, True], ids=["new", "without a ledger row"])
async def test_a_page_waits_for_the_ledger_row_before_it_holds_an_assistant(
    catalogue, pool, real_pool, storage, has_assistant
):
    """Every writer takes the two in this order. In opposite orders, each would wait for the other."""
    agent_id = await catalogue.add_agent(system_prompt="prompt")
    if has_assistant:
        await run_full_pass(pool, storage)
        await real_pool.execute("delete from agenthall.agent_sync")
        await catalogue.update_agent(agent_id, system_prompt="another")
    async with real_pool.acquire() as connection, asyncio.TaskGroup() as group, connection.transaction():
        await connection.execute(CLAIM, agent_id)
        group.create_task(run_full_pass(pool, storage))
        await until(lambda: real_pool.fetchval(IS_WAITING))
        assert await connection.fetchval(HOLD, agent_id) == has_assistant
        if not has_assistant:
            await connection.execute(INSERT, agent_id)
    prompts = system_prompts([await get_assistant(storage, agent_id)])
    assert prompts == ["another" if has_assistant else "prompt"]


async def test_many_syncs_at_once_end_with_the_last_edit(catalogue, pool, system_pool, reads):
    """Passes, feed and lazy syncs over one agent that is edited all the while."""
    agent_id: UUID = await catalogue.add_agent(id=uuid4(), system_prompt="0")
    replicas = [PostgresSyncStore(system_pool) for _ in range(3)]

    async def look(storage, number):
        if number % 3 == 0:
            await run_full_pass(pool, storage)
        elif number % 3 == 1:
            await sync_changed_agents(pool, storage, agent_ids=[agent_id])
        else:
            await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id="system", cache_ttl=NEVER_FRESH)

    async with asyncio.TaskGroup() as group:
        for edit in range(1, 31):
            await catalogue.update_agent(agent_id, system_prompt=str(edit))
            group.create_task(look(replicas[edit % 3], edit // 3))
    await sync_changed_agents(pool, replicas[0], agent_ids=[agent_id])
    system_prompts = [
        int(row["prompt"])
        for row in await pool.fetch(
            "select config -> 'configurable' ->> 'system_prompt' as prompt from agenthall.assistant_versions order by version"
        )
    ]
    assert system_prompts == sorted(set(system_prompts)), "no version brings an older one back"
    assert system_prompts[-1] == 30
