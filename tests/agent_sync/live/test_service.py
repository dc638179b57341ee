"""The startup sync of a running server: it shows what is wrong, tries again, and mends itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from run_queue_database import RunQueueDatabase, open_run_queue_database
from servers.live_server import until

from robyn_server.agent_sync import AgentSyncOptions, parse_agent_sync_scope
from robyn_server.agent_sync.live.service import SyncRunner
from robyn_server.files import packaged
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore

AGENT, OTHER = UUID(int=71), UUID(int=72)
ORGANIZATION = UUID(int=73)
TABLES = (packaged("demo") / "catalogue.sql").read_text().partition("insert into public.mcp_tools")[0]
ADD = """
insert into public.agents (id, organization_id, name, engine_id) values ($1, $2, 'an agent', 'e1000000-0000-4000-8000-000000000001')"""


@pytest.fixture
async def queue_db(database: str) -> AsyncIterator[RunQueueDatabase]:
    async with open_run_queue_database(database) as queue_db:
        yield queue_db


@pytest.fixture
async def catalogue(queue_db: RunQueueDatabase) -> AsyncIterator[SyncRunner]:
    options = AgentSyncOptions(
        default_model="offline:demo", tool_names="tools", write_back=True, scope=parse_agent_sync_scope("all")
    )
    catalogue = SyncRunner(
        queue_db.admin,
        PostgresSyncStore(queue_db.admin),
        ["agent"],
        options,
        timedelta(seconds=60),
        dsn=queue_db.url,
        every=60,
    )
    catalogue.start()
    yield catalogue
    await catalogue.stop()


async def test_a_catalogue_that_is_not_there_is_shown_and_synced_when_it_comes(
    queue_db: RunQueueDatabase, catalogue: SyncRunner
) -> None:
    await catalogue.attempted.wait()
    assert catalogue.report()["failure"]
    assert "created" not in catalogue.report()
    async with queue_db.admin.acquire() as connection, connection.transaction():
        await connection.execute(TABLES)
        await connection.execute(ADD, AGENT, ORGANIZATION)
    await until(lambda: "created" in catalogue.report())
    report = catalogue.report()
    # the poll for edits may have been there first, and then the pass has nothing left to create
    assert (report["scope"], report["total"], report["failed"]) == ("all", 1, 0)
    assert (
        await queue_db.admin.fetchval("select count(*) from agenthall.assistants where assistant_id = $1", AGENT) == 1
    )
    assert "failure" not in report


async def test_an_agent_added_later_is_synced_when_it_is_asked_for_and_only_for_its_members(
    queue_db: RunQueueDatabase, catalogue: SyncRunner
) -> None:
    await queue_db.admin.execute(TABLES)
    await until(lambda: catalogue.counters is not None)
    await queue_db.admin.execute(ADD, OTHER, ORGANIZATION)
    assert await catalogue.sync(OTHER, frozenset({UUID(int=99)})) is None
    assert await catalogue.sync(OTHER, frozenset({ORGANIZATION})) == OTHER
    assert await catalogue.sync(AGENT, None) is None


async def test_every_graph_has_its_default_assistant_even_without_a_catalogue(
    queue_db: RunQueueDatabase, catalogue: SyncRunner
) -> None:
    await catalogue.attempted.wait()
    assert await queue_db.admin.fetchval("select array_agg(name) from agenthall.assistants") == ["agent"]
