"""Edits by `updated_at`: each is told once, late commits and shared rows included, and what has no clock is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from catalogues.catalogue_tables import SOURCES, VIEW, CatalogueEditor, catalogue_database

from robyn_server.agent_sync import CatalogueSource, EditPoller, catalogue_view_sql, is_feed_installed
from robyn_server.agent_sync.catalogue_db.recent_edits import MAX_EDITS
from robyn_server.files import CATALOGUE_FEED

SHARED = ("agent_mcp_tools", "mcp_tools", "global_ai_engines", "ai_models")
CLOCKS = "".join(f"alter table public.{name} add column updated_at timestamptz default now();" for name in SHARED)


@pytest.fixture(scope="module")
async def product(postgres: str) -> AsyncIterator[Any]:
    async with catalogue_database(postgres, sql=CLOCKS) as pool:
        await pool.execute(catalogue_view_sql(VIEW, write_back=True, role=None))
        yield pool


@pytest.fixture
async def pool(product: Any) -> Any:
    await product.execute(f"truncate public.agents, {', '.join(f'public.{name}' for name in SHARED)}")
    return product


async def edits(pool: Any, source: CatalogueSource = CatalogueSource(), **options: Any) -> EditPoller:  # noqa: B008  frozen
    """One that has seen all that is there."""
    recent = EditPoller(pool, source, **options)
    await recent.poll()
    return recent


async def touch(pool: Any, table: str, where: str = "true") -> None:
    await pool.execute(f"update public.{table} set updated_at = clock_timestamp() where {where}")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_an_edited_agent_is_returned_once(pool: Any, source: CatalogueSource) -> None:
    catalogue = CatalogueEditor(pool)
    first, _ = await catalogue.add_agent(), await catalogue.add_agent()
    recent = await edits(pool, source)
    assert (await recent.poll()).agent_ids == frozenset()
    await touch(pool, "agents", f"id = '{first}'")
    assert (await recent.poll()).agent_ids == {first}
    assert (await recent.poll()).agent_ids == frozenset(), "it is still within the overlap, and has been told"
    await touch(pool, "agents", f"id = '{first}'")
    assert (await recent.poll()).agent_ids == {first}, "edited again"


@pytest.mark.parametrize("table", SHARED)
async def test_an_edit_of_a_shared_row_reaches_its_agents_and_no_others(pool: Any, table: str) -> None:
    catalogue = CatalogueEditor(pool)
    engine = await catalogue.add_engine("offline:demo")
    concerned = {await catalogue.add_agent(engine_id=engine), await catalogue.add_agent(engine_id=engine)}
    await catalogue.add_agent()
    await shared_tool(pool, concerned)
    recent = await edits(pool)
    await touch(pool, table)
    assert (await recent.poll()).agent_ids == concerned


async def shared_tool(pool: Any, agents: set[UUID]) -> None:
    tool = UUID(int=len(agents))
    await pool.execute(
        "insert into public.mcp_tools (id, endpoint_url, tool_name) values ($1, 'http://tools', 'x')", tool
    )
    for agent_id in agents:
        await pool.execute("insert into public.agent_mcp_tools (agent_id, mcp_tool_id) values ($1, $2)", agent_id, tool)


async def test_a_transaction_that_commits_late_is_found_by_the_overlap(pool: Any) -> None:
    agent_id = await CatalogueEditor(pool).add_agent()
    recent = await edits(pool)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("update public.agents set name = 'late', updated_at = now()")
        assert (await recent.poll()).agent_ids == frozenset()
        await transaction.commit()
    assert (await recent.poll()).agent_ids == {agent_id}
    strict = await edits(pool, overlap=timedelta(0))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("update public.agents set name = 'lost', updated_at = now()")
        assert (await strict.poll()).agent_ids == frozenset()
    assert (await strict.poll()).agent_ids == frozenset(), "older than the watermark: the full pass finds it"


async def test_a_row_from_the_future_hides_no_edits_after_it(pool: Any) -> None:
    catalogue = CatalogueEditor(pool)
    first, second = await catalogue.add_agent(), await catalogue.add_agent()
    recent = await edits(pool)
    await pool.execute("update public.agents set updated_at = now() + interval '1 year' where id = $1", first)
    assert (await recent.poll()).agent_ids == {first}
    await touch(pool, "agents", f"id = '{second}'")
    assert (await recent.poll()).agent_ids == {second}


async def test_very_many_edits_at_once_overflow_once_only(pool: Any) -> None:
    await CatalogueEditor(pool).add_agents(MAX_EDITS + 5)
    await pool.execute("update public.agents set updated_at = now() - interval '1 hour'")
    recent = await edits(pool)
    await touch(pool, "agents")
    assert (await recent.poll()).overflow
    again = await recent.poll()
    assert (again.agent_ids, again.overflow) == (frozenset(), False)


async def test_a_clock_without_a_time_zone_is_utc(postgres: str) -> None:
    sql = "alter table public.agents alter updated_at type timestamp using updated_at at time zone 'UTC'"
    async with catalogue_database(postgres, sql=sql) as pool:
        recent = await edits(pool)
        agent_id = await CatalogueEditor(pool).add_agent()
        await pool.execute("update public.agents set updated_at = now() at time zone 'UTC'")
        async with pool.acquire() as connection:
            await connection.execute("set time zone 'Asia/Tokyo'")
            assert (await recent.poll()).agent_ids == {agent_id}


async def test_what_has_no_clock_is_named_and_gets_one_later(postgres: str) -> None:
    async with catalogue_database(postgres, sql="alter table public.agents drop column updated_at") as pool:
        agent_id = await CatalogueEditor(pool).add_agent()
        recent = await edits(pool)
        assert recent.without_clock == [f"public.{name}" for name in ("agents", *SHARED)]
        await pool.execute("alter table public.agents add column updated_at timestamptz default now()")
        assert (await recent.poll()).agent_ids == {agent_id}
        assert recent.without_clock == [f"public.{name}" for name in SHARED]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_the_feed_is_installed_when_each_table_behind_the_catalogue_has_its_triggers(
    postgres: str, source: CatalogueSource
) -> None:
    async with catalogue_database(postgres) as pool:
        await pool.execute(catalogue_view_sql(VIEW, write_back=True, role=None))
        assert not await is_feed_installed(pool, source)
        await pool.execute(CATALOGUE_FEED.read_text())
        assert await is_feed_installed(pool, source)
        await pool.execute("alter table public.mcp_tools disable trigger user")
        assert not await is_feed_installed(pool, source)
