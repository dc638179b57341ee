"""The books: in Postgres and, for a storage that keeps none, in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import asyncpg
import pytest
from agent_sync_surroundings import MemoryStorage

from robyn_server.agent_sync.memory_ledger import MemoryLedger, ledger_of
from robyn_server.core.catalogue import SyncAction, SyncOutcome
from robyn_server.core.errors import Unavailable
from robyn_server.storage.agent_sync_ledger import PostgresAgentSyncLedger
from robyn_server.storage.queries import load

TTL = timedelta(minutes=5)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request, pool, system_pool):
    return MemoryLedger() if request.param == "memory" else PostgresAgentSyncLedger(system_pool)


def outcome(action, agent_id=None, *, failure=None, pending=False):
    agent_id = agent_id or uuid4()
    assistant_id = None if action is SyncAction.FAILED else agent_id
    return SyncOutcome(agent_id, action, assistant_id, failure, pending)


@pytest.mark.parametrize("action", SyncAction)
async def test_an_agent_is_fresh_after_a_check_that_went_well(ledger, action):
    line = outcome(action)
    await ledger.record([outcome(SyncAction.SKIPPED, line.agent_id)])
    await ledger.record([line])
    assert await ledger.fresh(line.agent_id, TTL) is (action in {"created", "updated", "skipped"})
    assert not await ledger.fresh(line.agent_id, timedelta(0))
    assert not await ledger.fresh(uuid4(), TTL)


async def test_an_unknown_agent_that_is_missing_is_not_noted(ledger, real_pool):
    line = outcome(SyncAction.MISSING)
    await ledger.record([line])
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync") == 0
    await ledger.record([outcome(SyncAction.CREATED, line.agent_id), outcome(SyncAction.CREATED)])
    assert await ledger.fresh(line.agent_id, TTL)


async def test_owed_write_backs_are_listed_until_they_are_done(ledger):
    owed = outcome(SyncAction.CREATED, pending=True)
    await ledger.record([owed, outcome(SyncAction.CREATED)])
    assert await ledger.pending_write_backs(10) == [(owed.agent_id, owed.agent_id)]
    assert await ledger.pending_write_backs(0) == []
    await ledger.record([outcome(SyncAction.FAILED, owed.agent_id, failure="bad row")])
    assert await ledger.pending_write_backs(10) == [(owed.agent_id, owed.agent_id)]
    await ledger.written_back([owed.agent_id])
    assert await ledger.pending_write_backs(10) == []


async def test_the_last_of_several_outcomes_of_one_agent_counts(ledger):
    agent_id = uuid4()
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="x"), outcome(SyncAction.CREATED, agent_id)])
    assert await ledger.fresh(agent_id, TTL)


async def test_reasons_are_kept_and_cleared_by_the_next_good_check(real_pool, pool, system_pool):
    ledger, agent_id = PostgresAgentSyncLedger(system_pool), uuid4()
    reason = "select failure from agenthall.agent_sync where agent_id = $1"
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="why")])
    assert await real_pool.fetchval(reason, agent_id) == "why"
    await ledger.record([outcome(SyncAction.UPDATED, agent_id)])
    assert await real_pool.fetchval(reason, agent_id) is None


async def test_the_books_are_unavailable_when_their_database_is(agent_sync_dsn):
    closed = await asyncpg.create_pool(agent_sync_dsn, min_size=1, max_size=1)
    await closed.close()
    with pytest.raises(Unavailable):
        await PostgresAgentSyncLedger(closed).fresh(UUID(int=1), TTL)


async def test_memory_believes_synced_at_of_an_agent_that_it_has_not_seen():
    ledger, agent_id = MemoryLedger(), uuid4()
    assert await ledger.fresh(agent_id, TTL, synced_at=datetime.now(UTC))
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="x")])
    assert not await ledger.fresh(agent_id, TTL, synced_at=datetime.now(UTC))


def test_a_storage_is_remembered_by_its_assistants_and_its_own_ledger_goes_first(system_pool):
    first, second = MemoryStorage(), MemoryStorage()
    assert ledger_of(first) is ledger_of(first)
    assert ledger_of(first) is not ledger_of(second)
    own = PostgresAgentSyncLedger(system_pool)
    assert ledger_of(SimpleNamespace(assistants=first.assistants, ledger=own)) is own
    assert isinstance(ledger_of(SimpleNamespace(assistants=first.assistants, ledger=object())), MemoryLedger)
    assert isinstance(ledger_of(SimpleNamespace(assistants=SimpleNamespace())), MemoryLedger)


@pytest.mark.parametrize("name", sorted(load("agent_sync")))
async def test_every_query_can_be_prepared(system_pool, name):
    async with system_pool.acquire() as connection:
        await connection.prepare(load("agent_sync")[name])
