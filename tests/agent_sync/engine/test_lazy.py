"""One agent on its first reference."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import asyncpg
import pytest
from catalogues.sync_storage import RecordingPool, count_writes, get_assistant
from databases import fresh_database
from deadlines import DEADLINE

from robyn_server.agent_sync import AgentRejected, AgentSyncOptions, AgentSyncScope, lazy_sync_agent, startup_agent_sync
from robyn_server.core.errors import CatalogueUnavailable, NotFound
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

ALL = AgentSyncScope("all")
NEVER_FRESH = timedelta(0)


async def lazy(pool, storage, agent_id, owner_id="local", **options):
    return await lazy_sync_agent(pool, storage, agent_id=agent_id, owner_id=owner_id, **options)


async def test_the_first_reference_makes_the_assistant_and_the_next_asks_no_catalogue(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    assert await lazy(pool, storage, agent_id) == str(agent_id)
    pool.statements.clear()
    assert await lazy(pool, storage, agent_id) == str(agent_id)
    assert await lazy(pool, storage, str(agent_id), owner_id="other") == str(agent_id)
    assert pool.statements == []


async def test_an_agent_synced_at_boot_is_fresh(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    await startup_agent_sync(pool, storage, scope=ALL, owner_id="system")
    pool.statements.clear()
    assert await lazy(pool, storage, agent_id) == str(agent_id)
    assert pool.statements == []


async def test_after_the_ttl_an_edit_is_effective(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(system_prompt="first")
    await lazy(pool, storage, agent_id)
    await catalogue.update_agent(agent_id, system_prompt="second")
    await lazy(pool, storage, agent_id)
    assert (await get_assistant(storage, agent_id))["config"]["configurable"]["system_prompt"] == "first"
    await lazy(pool, storage, agent_id, cache_ttl=NEVER_FRESH)
    assert (await get_assistant(storage, agent_id))["config"]["configurable"]["system_prompt"] == "second"


async def test_an_update_that_a_user_caused_leaves_the_assistant_to_its_organization(
    pool, catalogue, system_pool, real_pool
):
    storage, agent_id = PostgresSyncStore(system_pool), await catalogue.add_agent()
    await lazy(pool, storage, agent_id, owner_id="ada")
    await catalogue.update_agent(agent_id, name="Bob")
    await lazy(pool, storage, agent_id, owner_id="ada", cache_ttl=NEVER_FRESH)
    row = await real_pool.fetchrow("select name, owner_id, visibility from agenthall.assistants")
    assert tuple(row) == ("Bob", "system", "organization")


async def test_an_agent_that_is_unknown_or_no_uuid_is_none(pool, catalogue, storage, real_pool):
    assert await lazy(pool, storage, uuid4()) is None
    assert await lazy(pool, storage, "agent") is None
    assert await count_writes(storage, real_pool) == 0
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync") == 0


async def test_an_agent_of_another_organization_is_none_fresh_or_not(pool, catalogue, storage, real_pool):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    members, strangers = frozenset([organization]), frozenset([uuid4()])
    assert await lazy(pool, storage, agent_id, organizations=strangers) is None
    assert await count_writes(storage, real_pool) == 0
    assert await lazy(pool, storage, agent_id, organizations=members) == str(agent_id)
    assert await lazy(pool, storage, agent_id, organizations=strangers) is None
    assert await lazy(pool, storage, agent_id, organizations=strangers, cache_ttl=NEVER_FRESH) is None
    pool.statements.clear()
    assert await lazy(pool, storage, agent_id, organizations=members) == str(agent_id)
    assert pool.statements == []  # a request from another organization does not end the members' TTL


async def test_an_agent_without_an_organization_is_for_administrators_only(pool, catalogue, storage):
    agent_id = await catalogue.add_agent(organization_id=None)
    assert await lazy(pool, storage, agent_id) == str(agent_id)
    assert await lazy(pool, storage, agent_id, organizations=frozenset([uuid4()])) is None


async def test_many_first_references_are_one_sync(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    found = await asyncio.gather(*(lazy(pool, storage, agent_id, owner_id=f"user-{n}") for n in range(30)))
    assert found == [str(agent_id)] * 30
    assert len([each for each in pool.statements if "with page as" in each]) == 1
    assert await count_writes(storage, real_pool) == 1


async def test_a_first_caller_that_is_cancelled_fails_nobody_else(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    pool.gate = asyncio.Event()
    first = asyncio.create_task(lazy(pool, storage, agent_id))
    async with asyncio.timeout(DEADLINE):
        await pool.arrived.wait()
    others = [asyncio.create_task(lazy(pool, storage, agent_id)) for _ in range(3)]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    pool.gate.set()
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*others) == [str(agent_id)] * 3
    assert len([each for each in pool.statements if "with page as" in each]) == 1


async def test_callers_of_different_organizations_never_share_an_answer(pool, catalogue, storage):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    found = await asyncio.gather(
        lazy(pool, storage, agent_id, organizations=frozenset([organization])),
        lazy(pool, storage, agent_id, organizations=frozenset([uuid4()])),
    )
    assert found == [str(agent_id), None]


async def test_an_unreachable_catalogue_is_an_error_and_no_verdict_on_the_agent(pool, catalogue, storage, real_pool):
    agent_id = await catalogue.add_agent()
    pool.refuse["public.agents a"] = asyncpg.InterfaceError("closed")
    with pytest.raises(CatalogueUnavailable):
        await lazy(pool, storage, agent_id)
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync") == 0
    pool.refuse.clear()
    assert await lazy(pool, storage, agent_id) == str(agent_id)


async def test_an_agent_whose_row_is_malformed_is_an_error_even_after_it_was_good(pool, catalogue, storage):
    agent_id = await catalogue.add_agent()
    await lazy(pool, storage, agent_id)
    await catalogue.update_agent(agent_id, sampling_params='{"base_url": "http://x"}')
    for _ in range(2):  # the second time within the TTL of the first
        with pytest.raises(AgentRejected, match="base_url"):
            await lazy(pool, storage, agent_id, cache_ttl=NEVER_FRESH)
    with pytest.raises(AgentRejected, match="base_url"):
        await lazy(pool, storage, agent_id)


async def test_without_any_catalogue_every_id_is_unknown_unless_a_scope_was_set(storage, postgres):
    async with fresh_database(postgres) as dsn, asyncpg.create_pool(dsn, min_size=1, max_size=1) as bare:
        assert await lazy(bare, storage, uuid4()) is None
        with pytest.raises(CatalogueUnavailable):
            await lazy(bare, storage, uuid4(), options=AgentSyncOptions(scope=ALL))


class OneAssistant:
    """A storage as strange as the protocol allows: objects, NotFound, no ledger; and one assistant."""

    def __init__(self, **fields):
        self.fields = fields
        self.assistants = self

    async def get(self, assistant_id, owner_id):
        if assistant_id != self.fields["assistant_id"]:
            raise NotFound("none")
        return SimpleNamespace(**self.fields)

    async def create(self, payload, owner_id):
        raise AssertionError("it exists")

    async def update(self, assistant_id, payload, owner_id):
        self.fields |= payload


@pytest.mark.parametrize(
    ("age", "asks"),
    [(timedelta(minutes=1), False), (timedelta(minutes=6), True), (timedelta(days=-1), True), (None, True)],
)
async def test_without_a_ledger_synced_at_tells_whether_an_agent_is_fresh(pool, catalogue, age, asks):
    agent_id = await catalogue.add_agent()
    synced_at = "when?" if age is None else (datetime.now(UTC) - age).isoformat()
    storage = OneAssistant(assistant_id=str(agent_id), config={}, metadata={"synced_at": synced_at})
    assert await lazy(pool, storage, agent_id) == str(agent_id)
    assert bool(pool.statements) is asks
    assert await lazy(RecordingPool(None), storage, agent_id) == str(agent_id)
