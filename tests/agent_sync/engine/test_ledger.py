"""The ledger: in Postgres and, for a storage with three methods, in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.sync_storage import MemoryStorage

from robyn_server.agent_sync.store import PlainStore, sync_store
from robyn_server.core.catalogue.fields import SyncAction, SyncOutcome
from robyn_server.core.errors import Unavailable
from robyn_server.storage.agent_sync.ledger import Ledger
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

TTL = timedelta(minutes=5)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request, pool, system_pool):
    return sync_store(MemoryStorage()) if request.param == "memory" else Ledger(system_pool)


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


async def test_a_check_in_the_future_is_no_check(real_pool, pool, system_pool):
    ledger, line = Ledger(system_pool), outcome(SyncAction.CREATED)
    await ledger.record([line])
    await real_pool.execute("update agenthall.agent_sync set checked_at = now() + $1::interval", TTL + TTL)
    assert not await ledger.fresh(line.agent_id, TTL)


async def test_an_unknown_agent_that_is_missing_is_not_noted(ledger, real_pool):
    line = outcome(SyncAction.MISSING)
    await ledger.record([line])
    assert await real_pool.fetchval("select count(*) from agenthall.agent_sync") == 0
    await ledger.record([outcome(SyncAction.CREATED, line.agent_id), outcome(SyncAction.CREATED)])
    assert await ledger.fresh(line.agent_id, TTL)


async def test_pending_write_backs_are_listed_until_they_are_done(ledger):
    owed = outcome(SyncAction.CREATED, pending=True)
    await ledger.record([owed, outcome(SyncAction.CREATED)])
    assert await ledger.pending_write_backs(None, 10) == [(owed.agent_id, owed.agent_id)]
    assert await ledger.pending_write_backs(None, 0) == []
    await ledger.record([outcome(SyncAction.FAILED, owed.agent_id, failure="bad row")])
    assert await ledger.pending_write_backs(None, 10) == [(owed.agent_id, owed.agent_id)]
    await ledger.written_back([owed.agent_id])
    assert await ledger.pending_write_backs(None, 10) == []


async def test_the_last_of_several_outcomes_of_one_agent_counts(ledger):
    agent_id = uuid4()
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="x"), outcome(SyncAction.CREATED, agent_id)])
    assert await ledger.fresh(agent_id, TTL)


async def test_reasons_are_kept_and_cleared_by_the_next_good_check(real_pool, pool, system_pool):
    ledger, agent_id = Ledger(system_pool), uuid4()
    reason = "select failure from agenthall.agent_sync where agent_id = $1"
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="why")])
    assert await real_pool.fetchval(reason, agent_id) == "why"
    await ledger.record([outcome(SyncAction.UPDATED, agent_id)])
    assert await real_pool.fetchval(reason, agent_id) is None


async def test_the_ledger_is_unavailable_when_their_database_is(agent_sync_dsn):
    closed = await asyncpg.create_pool(agent_sync_dsn, min_size=1, max_size=1)
    await closed.close()
    with pytest.raises(Unavailable):
        await Ledger(closed).fresh(UUID(int=1), TTL)


async def test_memory_believes_synced_at_of_an_agent_that_it_has_not_seen():
    ledger, agent_id = sync_store(MemoryStorage()), uuid4()
    assert await ledger.fresh(agent_id, TTL, synced_at=datetime.now(UTC))
    await ledger.record([outcome(SyncAction.FAILED, agent_id, failure="x")])
    assert not await ledger.fresh(agent_id, TTL, synced_at=datetime.now(UTC))


async def test_the_ledger_of_a_storage_lives_as_long_as_its_assistants():
    first, second, line = MemoryStorage(), MemoryStorage(), outcome(SyncAction.CREATED)
    await sync_store(first).record([line])
    assert await sync_store(first).fresh(line.agent_id, TTL)
    assert not await sync_store(second).fresh(line.agent_id, TTL)


def test_only_a_storage_with_every_method_is_used_as_it_is(system_pool):
    own = PostgresSyncStore(system_pool)
    assert sync_store(own) is own
    for storage in (MemoryStorage(), SimpleNamespace(assistants=SimpleNamespace()), MagicMock(), AsyncMock()):
        assert isinstance(sync_store(storage), PlainStore)
    assert isinstance(sync_store(SimpleNamespace(assistants={}, fresh=own.fresh, record=own.record)), PlainStore)
