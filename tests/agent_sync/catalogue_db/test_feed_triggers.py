"""The triggers of the change feed: each edit names the agents that it concerns, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import CatalogueEditor, catalogue_database
from deadlines import DEADLINE

from robyn_server.files import CATALOGUE_FEED

CHANNEL = "agenthall_catalogue"
END = "end of what was said"


class Ear:
    """Listens, and tells what was said since it was asked last."""

    def __init__(self, connection: asyncpg.Connection, pool: asyncpg.Pool) -> None:
        self._connection, self._pool = connection, pool
        self._said: asyncio.Queue[str] = asyncio.Queue()

    async def open(self) -> Ear:
        await self._connection.add_listener(CHANNEL, self._hear)
        return self

    async def close(self) -> None:
        await self._connection.remove_listener(CHANNEL, self._hear)

    def _hear(self, *heard: object) -> None:
        self._said.put_nowait(str(heard[-1]))

    async def heard(self) -> set[str]:
        await self._pool.execute(f"select pg_notify('{CHANNEL}', '{END}')")  # notifications keep their order
        said: set[str] = set()
        while (payload := await asyncio.wait_for(self._said.get(), DEADLINE)) != END:
            said |= set(payload.split(","))
        return said


@pytest.fixture(scope="module")
async def installed(postgres: str) -> AsyncIterator[asyncpg.Pool]:
    async with catalogue_database(postgres) as pool:
        script = CATALOGUE_FEED.read_text()
        await pool.execute(script)
        await pool.execute(script)  # again, as an upgrade would
        yield pool


@pytest.fixture
async def ear(installed: asyncpg.Pool) -> AsyncIterator[Ear]:
    async with installed.acquire() as connection:
        ear = await Ear(connection, installed).open()
        yield ear
        await ear.close()


@pytest.fixture
def rows(installed: asyncpg.Pool) -> CatalogueEditor:
    return CatalogueEditor(installed)


async def two_agents(rows: CatalogueEditor, ear: Ear) -> tuple[UUID, UUID]:
    first, second = await rows.add_agent(), await rows.add_agent()
    assert {str(first), str(second)} <= await ear.heard()
    return first, second


@pytest.mark.parametrize(
    "edit", ["name = name || '!'", "status = 'disabled'", "deleted_at = now()", "organization_id = gen_random_uuid()"]
)
async def test_an_edited_agent_is_named_alone(
    installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear, edit: str
) -> None:
    first, _ = await two_agents(rows, ear)
    await installed.execute(f"update public.agents set {edit} where id = $1", first)
    assert await ear.heard() == {str(first)}


async def test_a_deleted_agent_is_named(installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear) -> None:
    first, _ = await two_agents(rows, ear)
    await installed.execute("delete from public.agents where id = $1", first)
    assert await ear.heard() == {str(first)}


async def test_the_servers_own_write_back_is_no_news(installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear) -> None:
    await two_agents(rows, ear)
    await installed.execute("update public.agents set langgraph_assistant_id = id::text, updated_at = now()")
    assert await ear.heard() == set()


async def test_an_edit_of_a_shared_tool_names_every_agent_that_has_it(
    installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear
) -> None:
    first, second = await two_agents(rows, ear)
    tool = uuid4()
    await installed.execute("insert into public.mcp_tools values ($1, 'http://tools', 'search', false, false)", tool)
    assert await ear.heard() == set()
    await installed.execute("insert into public.agent_mcp_tools values ($1, $3), ($2, $3)", first, second, tool)
    assert await ear.heard() == {str(first), str(second)}
    await installed.execute("update public.mcp_tools set endpoint_url = 'http://elsewhere' where id = $1", tool)
    assert await ear.heard() == {str(first), str(second)}
    await installed.execute("delete from public.agent_mcp_tools where agent_id = $1", second)
    assert await ear.heard() == {str(second)}
    await installed.execute("delete from public.mcp_tools where id = $1", tool)
    assert await ear.heard() == {str(first)}


async def test_an_edit_of_a_shared_model_or_engine_names_every_agent_that_runs_on_it(
    installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear
) -> None:
    first, second = await two_agents(rows, ear)
    model, engine = uuid4(), uuid4()
    await installed.execute("insert into public.ai_models values ($1, 'offline:demo')", model)
    await installed.execute("insert into public.global_ai_engines values ($1, $2)", engine, model)
    await installed.execute("update public.agents set engine_id = $1 where id = any ($2)", engine, [first, second])
    assert await ear.heard() == {str(first), str(second)}
    await installed.execute("update public.ai_models set runtime_model_name = 'offline:slow' where id = $1", model)
    assert await ear.heard() == {str(first), str(second)}
    await installed.execute("update public.global_ai_engines set language_model_id = null where id = $1", engine)
    assert await ear.heard() == {str(first), str(second)}


async def test_many_agents_at_once_are_one_word(installed: asyncpg.Pool, ear: Ear) -> None:
    await installed.execute(
        "insert into public.agents (id, name, status) select gen_random_uuid(), 'many', 'active' from generate_series(1, 500)"
    )
    assert await ear.heard() == {"*"}


async def test_an_emptied_table_is_one_word(installed: asyncpg.Pool, ear: Ear) -> None:
    await installed.execute("truncate public.agent_mcp_tools")
    assert await ear.heard() == {"*"}


async def test_a_transaction_that_is_taken_back_says_nothing(
    installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear
) -> None:
    first, _ = await two_agents(rows, ear)
    async with installed.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("update public.agents set name = 'never' where id = $1", first)
        await transaction.rollback()
    assert await ear.heard() == set()


async def test_who_edits_one_table_needs_no_right_to_the_others(
    installed: asyncpg.Pool, rows: CatalogueEditor, ear: Ear
) -> None:
    first, _ = await two_agents(rows, ear)
    editor = f"editor_{uuid4().hex[:8]}"
    await installed.execute(f"create role {editor}; grant select, update on public.agents to {editor}")
    try:
        async with installed.acquire() as connection, connection.transaction():
            await connection.execute(f"set local role {editor}")
            await connection.execute("update public.agents set name = 'edited' where id = $1", first)
        assert await ear.heard() == {str(first)}
    finally:
        await installed.execute(f"revoke all on public.agents from {editor}; drop role {editor}")
