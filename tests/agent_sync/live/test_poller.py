"""A catalogue without triggers, in a running server: edits are found by `updated_at`, and every replica reports the
same passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from servers.live_server import until

from robyn_server.agent_sync import AgentSyncOptions, AgentSyncScope, CatalogueSource, catalogue_view_sql
from robyn_server.agent_sync.live.operations import Operations
from robyn_server.agent_sync.live.passes import SyncPasses, this_replica
from robyn_server.agent_sync.live.service import SyncRunner
from robyn_server.core.errors import CatalogueUnavailable
from robyn_server.files import CATALOGUE_FEED, packaged
from robyn_server.storage.agent_sync.passes import KEPT_PASSES, KEPT_SCOPES, AgentSyncPasses
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView
from robyn_server.storage.postgres.pools import Pool, Role, open_pool

TABLES = (packaged("demo") / "catalogue.sql").read_text().partition("insert into public.mcp_tools")[0]
ADD = "insert into public.agents (id, organization_id, name, system_prompt) values ($1, $2, 'an agent', 'first')"
EDIT = "update public.agents set system_prompt = $2, updated_at = clock_timestamp() where id = $1"
PROMPT = "select config -> 'configurable' ->> 'system_prompt' from agenthall.assistants where assistant_id = $1"
POLL = 0.1
ALL = AgentSyncScope("all")
VIEW = CatalogueSource("app.agents")


@dataclass(frozen=True, slots=True)
class Desk:
    """`admin` works as the login itself, `system` as the server does."""

    url: str
    admin: Pool
    system: Pool


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    system = await open_pool(database, Role.SYSTEM, size=4, name="test without feed")
    async with asyncpg.create_pool(database, min_size=1, max_size=4) as admin:
        await admin.execute(TABLES)
        yield Desk(database, admin, system)
    await system.close()


@asynccontextmanager
async def running(desk: Desk, source: CatalogueSource = CatalogueSource()) -> AsyncIterator[SyncRunner]:  # noqa: B008  frozen
    """Passes are far away: what becomes effective was found by an edit."""
    options = AgentSyncOptions(default_model="offline:demo", scope=ALL, source=source)
    storage = PostgresSyncStore(desk.system)
    catalogue = SyncRunner(
        desk.admin, storage, ["agent"], options, timedelta(hours=1), dsn=desk.url, every=3600, poll=POLL
    )
    catalogue.start()
    try:
        await catalogue.attempted.wait()
        yield catalogue
    finally:
        await catalogue.stop()


def operations(desk: Desk, catalogue: SyncRunner | None = None) -> Operations:
    """Of the catalogue's replica; of another one without."""
    storage, view = PostgresSyncStore(desk.system), AgentSyncView(desk.system)
    feed = dict if catalogue is None else catalogue.feed_report
    return Operations(desk.admin, storage, view, ["agent"], AgentSyncOptions(scope=ALL), feed=feed)


async def status(desk: Desk, catalogue: SyncRunner | None = None) -> dict[str, Any]:
    return await operations(desk, catalogue).status(after=None, limit=10)


async def prompt_is(desk: Desk, agent_id: UUID, wanted: str) -> bool:
    return bool(await desk.admin.fetchval(PROMPT, agent_id) == wanted)


@pytest.mark.parametrize("source", [CatalogueSource(), VIEW], ids=["tables", "view"])
async def test_an_edit_without_triggers_is_effective_after_a_poll(desk: Desk, source: CatalogueSource) -> None:
    agent_id = uuid4()
    await desk.admin.execute(catalogue_view_sql(VIEW, write_back=True, role=None))
    await desk.admin.execute(ADD, agent_id, uuid4())
    async with running(desk, source) as catalogue:
        assert await prompt_is(desk, agent_id, "first")
        for number in range(3):
            await desk.admin.execute(EDIT, agent_id, f"edit {number}")
            await until(partial(prompt_is, desk, agent_id, f"edit {number}"))
        feed = (await status(desk, catalogue))["feed"]
        assert (feed["installed"], feed["polling"], feed["poll_seconds"]) == (False, True, POLL)
        assert feed["lag_seconds"] is not None
        assert feed["failure"] is None


async def test_where_the_triggers_are_nothing_is_polled(desk: Desk) -> None:
    await desk.admin.execute(CATALOGUE_FEED.read_text())
    agent_id = uuid4()
    async with running(desk) as catalogue:
        await until(lambda: catalogue.feed_report()["installed"])
        await until(lambda: catalogue.is_feed_connected)
        report = catalogue.feed_report()
        assert (report["polling"], report["without_updated_at"]) == (False, None)
        await desk.admin.execute(ADD, agent_id, uuid4())
        await until(lambda: prompt_is(desk, agent_id, "first"))
        await desk.admin.execute("drop schema agenthall_catalogue cascade")
        await until(lambda: catalogue.feed_report()["polling"])
        await desk.admin.execute(EDIT, agent_id, "polled")
        await until(lambda: prompt_is(desk, agent_id, "polled"))


async def test_every_replica_reports_the_same_last_passes(desk: Desk) -> None:
    await desk.admin.execute(ADD, uuid4(), uuid4())
    async with running(desk) as catalogue:
        ours, theirs = await status(desk, catalogue), await status(desk)
        assert ours["last_pass"] == theirs["last_pass"]
        last = theirs["last_pass"]
        assert (last["scope"], last["replica"], last["failure"]) == ("all", this_replica(), None)
        assert (last["counters"]["created"], last["counters"]["total"]) == (1, 1)
        assert last["at"] <= last["finished_at"]


async def test_a_pass_that_failed_is_reported_with_its_reason(desk: Desk) -> None:
    await desk.admin.execute("alter table public.agents rename column name to title")
    options = AgentSyncOptions(scope=ALL)
    passes = SyncPasses(desk.admin, PostgresSyncStore(desk.system), ["agent"], options)
    with pytest.raises(CatalogueUnavailable):
        await passes.run(ALL)
    last = (await status(desk))["last_pass"]
    assert last["counters"] is None
    assert "column public.agents.name is missing" in last["failure"]


async def test_a_pass_that_cannot_be_recorded_succeeds_all_the_same(desk: Desk) -> None:
    await desk.admin.execute(ADD, uuid4(), uuid4())
    await desk.admin.execute("revoke insert on agenthall.agent_sync_passes from agenthall_system")
    passes = SyncPasses(desk.admin, PostgresSyncStore(desk.system), ["agent"], AgentSyncOptions(scope=ALL))
    assert (await passes.run(ALL))["created"] == 1
    assert await passes.last() == []


async def test_only_the_last_passes_of_the_last_scopes_are_kept(desk: Desk) -> None:
    passes = AgentSyncPasses(desk.system)
    now = await desk.admin.fetchval("select now()")

    async def note(scope: str, number: int) -> None:
        await passes.record(scope, "r", now, 0.1, counters={"total": number}, failure=None)

    for number in range(KEPT_PASSES + 3):
        await note("all", number)
    kept = await passes.latest(100)
    assert [each.counters for each in kept] == [{"total": number} for number in range(KEPT_PASSES + 2, 2, -1)]
    for number in range(KEPT_SCOPES):
        await note(f"org:{number}", number)
    assert [each.scope for each in await passes.latest()] == [f"org:{n}" for n in range(KEPT_SCOPES - 1, -1, -1)]
