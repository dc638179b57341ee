"""Ids that nobody knows cost the catalogue one query, not one each time; and an agent that comes is found at once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from deadlines import DEADLINE

from robyn_server.agent_sync import NegativeCache, lazy_sync_agent

UNKNOWN = uuid4()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def misses(clock):
    return NegativeCache(3, 2, clock)


async def lazy(pool, storage, misses, agent_id, organizations=None):
    return await lazy_sync_agent(
        pool, storage, agent_id=agent_id, owner_id="local", organizations=organizations, misses=misses
    )


async def test_an_unknown_id_is_asked_for_once_and_again_after_some_seconds(pool, catalogue, storage, misses, clock):
    for _ in range(5):
        assert await lazy(pool, storage, misses, UNKNOWN) is None
    assert len([each for each in pool.statements if "public.agents a" in each]) == 1
    clock.now = 3.0
    assert await lazy(pool, storage, misses, UNKNOWN) is None
    assert len([each for each in pool.statements if "public.agents a" in each]) == 2


async def test_an_agent_that_the_feed_names_is_found_at_once(pool, catalogue, storage, misses):
    assert await lazy(pool, storage, misses, UNKNOWN) is None
    await catalogue.add_agent(id=UNKNOWN)
    assert await lazy(pool, storage, misses, UNKNOWN) is None
    misses.remove([UNKNOWN])
    assert await lazy(pool, storage, misses, UNKNOWN) == str(UNKNOWN)


async def test_a_strangers_miss_is_not_the_members(pool, catalogue, storage, misses):
    organization = uuid4()
    agent_id = await catalogue.add_agent(organization_id=organization)
    assert await lazy(pool, storage, misses, agent_id, frozenset([uuid4()])) is None
    assert await lazy(pool, storage, misses, agent_id, frozenset([organization])) == str(agent_id)


async def test_an_answer_that_an_edit_overtook_is_not_remembered(pool, catalogue, storage, misses):
    pool.gate = asyncio.Event()
    asking = asyncio.create_task(lazy(pool, storage, misses, UNKNOWN))
    async with asyncio.timeout(DEADLINE):
        await pool.arrived.wait()
    misses.remove([UNKNOWN])
    pool.gate.set()
    assert await asking is None
    assert len(misses) == 0


def test_only_so_many_are_remembered_and_the_oldest_goes_first(misses):
    ids = [uuid4() for _ in range(3)]
    for each in ids[:2]:
        misses.add(each, None, misses.generation)
    assert misses.has(ids[0], None)
    misses.add(ids[2], None, misses.generation)
    assert [misses.has(each, None) for each in ids] == [True, False, True]


def test_forgetting_takes_every_askers_miss_and_no_other_agents(misses):
    one, other = uuid4(), uuid4()
    for organizations in (None, frozenset([uuid4()])):
        misses.add(one, organizations, misses.generation)
    misses.remove([one, other])
    assert len(misses) == 0
    misses.add(other, None, misses.generation)
    misses.clear()
    assert not misses.has(other, None)
