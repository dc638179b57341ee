"""Pending write-backs of a running server: tried again until the catalogue takes them, without a pass."""

from __future__ import annotations

from uuid import UUID

import pytest
from catalogues.catalogue_tables import CatalogueEditor
from catalogues.sync_storage import RecordingPool
from servers.live_server import until

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, startup_agent_sync
from robyn_server.agent_sync.live import write_backs
from robyn_server.agent_sync.live.write_backs import WriteBackRetry, WriteBacksPending
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.postgres.pools import Pool

ALL = AgentSyncScope("all")
MEAN = """
create function public.mean() returns trigger language plpgsql as $$
begin
  if new.name = 'mean' then raise exception 'not this one'; end if;
  return new;
end $$;
create trigger mean before update of langgraph_assistant_id on public.agents for each row execute function public.mean();
"""


@pytest.fixture
def options() -> AgentSyncOptions:
    return AgentSyncOptions(scope=ALL)


async def _pending(storage: PostgresSyncStore) -> list[UUID]:
    return [agent_id for agent_id, _ in await storage.pending_write_backs(None, 1000)]


async def test_a_row_is_written_back_soon_after_the_product_has_released_it(
    pool: RecordingPool,
    catalogue: CatalogueEditor,
    postgres_storage: PostgresSyncStore,
    real_pool: Pool,
    options: AgentSyncOptions,
) -> None:
    agent_id = await catalogue.add_agent()
    retry = WriteBackRetry(pool, postgres_storage, options, every=0.05)  # type: ignore[arg-type]
    async with real_pool.acquire() as connection, connection.transaction():
        await connection.execute("select from public.agents where id = $1 for update", agent_id)
        await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system", options=options)
        with pytest.raises(WriteBacksPending, match=r"1 write-backs .* locked by another transaction"):
            await retry.retry()
    assert await _pending(postgres_storage) == [agent_id]
    retry.start()

    async def is_done() -> bool:
        return not await _pending(postgres_storage)

    await until(is_done)
    await retry.stop()
    assert await catalogue.written_back_id(agent_id) == str(agent_id)


async def test_agents_that_the_catalogue_refuses_hold_up_no_other(
    pool: RecordingPool,
    catalogue: CatalogueEditor,
    postgres_storage: PostgresSyncStore,
    real_pool: Pool,
    options: AgentSyncOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that are refused come first, and fill more than a page."""
    monkeypatch.setattr(write_backs, "PAGE", 2)
    for number in range(1, 8):
        await catalogue.add_agent(id=UUID(int=number), name="mean" if number < 6 else "kind")
    pool.refuse["set langgraph_assistant_id"] = OSError("away")
    await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system", options=options)
    pool.refuse.clear()
    assert len(await _pending(postgres_storage)) == 7
    await real_pool.execute(MEAN)
    with pytest.raises(WriteBacksPending, match=r"5 write-backs .* not this one"):
        await WriteBackRetry(pool, postgres_storage, options).retry()  # type: ignore[arg-type]
    assert await _pending(postgres_storage) == [UUID(int=number) for number in range(1, 6)]


async def test_nothing_is_tried_where_write_back_is_off(
    pool: RecordingPool, catalogue: CatalogueEditor, postgres_storage: PostgresSyncStore, options: AgentSyncOptions
) -> None:
    await catalogue.add_agent()
    pool.refuse["set langgraph_assistant_id"] = OSError("away")
    await startup_agent_sync(pool, postgres_storage, scope=ALL, owner_id="system", options=options)
    pool.statements.clear()
    off = AgentSyncOptions(scope=ALL, write_back=False)
    await WriteBackRetry(pool, postgres_storage, off).retry()  # type: ignore[arg-type]
    assert pool.statements == []
