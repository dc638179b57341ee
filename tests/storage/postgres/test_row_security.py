"""Row-level security stands behind the predicates: who forgets one sees nothing of others'."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
import pytest
from databases import fresh_database
from read_costs import fill
from run_storage import RunStorage, new_run, open_run_storage

from robyn_server.core.access.principal import LOCAL, Principal
from robyn_server.core.ids import new_id
from robyn_server.storage.assistants import AssistantFilter
from robyn_server.storage.postgres.pools import acting_as
from robyn_server.storage.threads import ThreadFilter

TABLES = ("assistants", "assistant_versions", "threads", "runs", "run_events", "agent_sync")
ORGANIZATIONS = [UUID(int=100 + n) for n in range(3)]
TENANTS = [Principal(f"tenant-{n}", organizations=frozenset({ORGANIZATIONS[n]})) for n in range(3)]
DAY = timedelta(days=1)

_FILL = """
insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, organization_id, visibility)
select gen_random_uuid(), 'agent', 'name ' || n, case n % 2 when 0 then 'system' else 'tenant-' || n % 3 end,
       ($2::uuid[])[1 + n % 3], case n % 2 when 0 then 'organization' else 'private' end
  from generate_series(1, $1::integer) n"""
_FILL_THREADS = """
insert into agenthall.threads (thread_id, owner_id, metadata)
select gen_random_uuid(), 'tenant-' || n % 3, '{"known": true}' from generate_series(1, $1::integer) n"""
_FILL_RUNS = """
insert into agenthall.runs (run_id, thread_id, assistant_id, assistant_version, graph_id, owner_id, kwargs, ready, status)
select gen_random_uuid(), t.thread_id, t.thread_id, 1, 'echo', t.owner_id, '{}', false, 'success' from agenthall.threads t"""
_FILL_EVENTS = """
insert into agenthall.run_events (run_id, seq, attempt, event, data)
select r.run_id, 1, 1, 'values', '{}' from agenthall.runs r"""

_FILL_LEDGER = """
insert into agenthall.agent_sync (agent_id, last_action)
select a.assistant_id, 'created' from agenthall.assistants a where a.visibility = 'organization'"""
_OPEN_TABLES = """
select array_agg(c.relname::text order by c.relname) from pg_class c
 where c.relnamespace = 'agenthall'::regnamespace and c.relkind in ('r', 'p')
   and not (c.relrowsecurity and c.relforcerowsecurity)
   and has_any_column_privilege('agenthall_app', c.oid, 'select, insert, update')"""


@pytest.fixture(scope="module", params=[6, 6_000])
async def filled(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[RunStorage]:
    """Three tenants' rows, so few that every plan reads the table and so many that plans use indexes; one
    connection."""
    async with fresh_database(postgres, template) as url, open_run_storage(url, size=1) as storage:
        await fill(storage.admin, _FILL, request.param, ORGANIZATIONS)
        await fill(storage.admin, _FILL_THREADS, request.param)
        await fill(storage.admin, _FILL_RUNS)
        await fill(storage.admin, _FILL_EVENTS)
        await fill(storage.admin, _FILL_LEDGER)
        await storage.admin.execute("analyze")
        yield storage


async def test_without_a_principal_nothing_is_visible(filled: RunStorage) -> None:
    for table in TABLES:
        assert await filled.app.fetchval(f"select count(*) from agenthall.{table}") == 0


async def test_without_the_predicate_only_own_rows_are_visible(filled: RunStorage) -> None:
    for tenant in TENANTS:
        async with acting_as(filled.app, tenant) as connection:
            owners = await connection.fetchval("select array_agg(distinct owner_id) from agenthall.threads")
            assert owners == [tenant.identity]
            owners = await connection.fetchval("select array_agg(distinct owner_id) from agenthall.runs")
            assert owners == [tenant.identity]
            seen = await connection.fetch(
                "select distinct owner_id, organization_id, visibility from agenthall.assistants"
            )
            assert {row["owner_id"] for row in seen if row["visibility"] == "private"} == {tenant.identity}
            assert {
                row["organization_id"] for row in seen if row["visibility"] == "organization"
            } == tenant.organizations
            theirs = "select count(*) from agenthall.run_events e left join agenthall.runs r using (run_id) where r.run_id is null"
            assert await connection.fetchval(theirs) == 0
            assert await connection.fetchval("select count(*) from agenthall.run_events") > 0


async def test_the_ledger_of_agent_sync_shows_the_agents_of_the_organization(filled: RunStorage) -> None:
    async with acting_as(filled.app, TENANTS[0]) as connection:
        seen = await connection.fetch("select s.agent_id from agenthall.agent_sync s")
    agents = await filled.admin.fetch(
        "select assistant_id from agenthall.assistants where visibility = 'organization' and organization_id = $1",
        ORGANIZATIONS[0],
    )
    assert {row["agent_id"] for row in seen} == {row["assistant_id"] for row in agents} != set()
    async with acting_as(filled.app, LOCAL) as connection:
        every = await connection.fetchval("select count(s.agent_id) from agenthall.agent_sync s")
    assert every == await filled.admin.fetchval("select count(*) from agenthall.agent_sync")


async def test_a_user_sees_the_ledger_of_its_own_copies_of_templates(filled: RunStorage) -> None:
    template = new_id()
    await filled.admin.execute(
        """with copy as (
             insert into agenthall.assistants
               (assistant_id, graph_id, name, owner_id, organization_id, visibility, template_id, origin, catalogue_hash)
             values (gen_random_uuid(), 'agent', 'x', 'tenant-0', $2, 'private', $1, 'catalogue', '\\x00'))
           insert into agenthall.agent_sync (agent_id, last_action) values ($1, 'created')""",
        template,
        ORGANIZATIONS[0],
    )
    for tenant, expected in ((TENANTS[0], 1), (TENANTS[1], 0)):
        async with acting_as(filled.app, tenant) as connection:
            found = "select count(s.agent_id) from agenthall.agent_sync s where s.agent_id = $1"
            assert await connection.fetchval(found, template) == expected
    await filled.admin.execute("delete from agenthall.agent_sync where agent_id = $1", template)
    await filled.admin.execute("delete from agenthall.assistants where template_id = $1", template)


async def test_failures_of_agents_are_for_administrators(filled: RunStorage) -> None:
    async with acting_as(filled.app, TENANTS[0]) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select failure from agenthall.agent_sync")


async def test_every_table_that_principals_read_has_row_level_security(filled: RunStorage) -> None:
    """But `workers`, whose rows are of no tenant, and `audit_log`: it is not forced, because its owner's triggers write
    it for everybody."""
    assert await filled.admin.fetchval(_OPEN_TABLES) == ["audit_log", "workers"]


async def test_a_principal_is_forgotten_when_its_statement_ends(filled: RunStorage) -> None:
    for _ in range(10):
        assert (await filled.threads.search(TENANTS[0], ThreadFilter(), limit=5, offset=0)).body != "[]"
        assert await filled.app.fetchval("select count(*) from agenthall.threads") == 0


async def _ids(storage: RunStorage) -> dict[str, list[tuple[str, UUID]]]:
    runs = await storage.admin.fetch("select owner_id, thread_id, run_id from agenthall.runs")
    every = await storage.admin.fetch(
        "select assistant_id, owner_id, organization_id, visibility from agenthall.assistants"
    )
    seen_by = {organization: tenant.identity for organization, tenant in zip(ORGANIZATIONS, TENANTS, strict=True)}
    return {
        "runs": [(row["owner_id"], (row["thread_id"], row["run_id"])) for row in runs],
        "assistants": [
            (
                seen_by[row["organization_id"]] if row["visibility"] == "organization" else row["owner_id"],
                row["assistant_id"],
            )
            for row in every
        ],
    }


async def test_tenants_taking_turns_on_one_connection_never_see_each_other(filled: RunStorage) -> None:
    """Generic plans, hundreds of statements of every shape, tenants at random."""
    ids, chance = await _ids(filled), random.Random(3)
    for _ in range(60):
        tenant = chance.choice(TENANTS)
        owner, (thread_id, run_id) = chance.choice(ids["runs"])
        mine = owner == tenant.identity
        assert (await filled.threads.find(tenant, thread_id) is not None) == mine
        assert (await filled.threads.find_graph(tenant, thread_id) is not None) == mine
        assert (await filled.runs.find(tenant, thread_id, run_id) is not None) == mine
        assert (await filled.runs.find_to_follow(tenant, None, run_id) is not None) == mine
        assert (await _listed(filled, tenant, thread_id) != []) == mine
        assert (await filled.runs.cancel(tenant, thread_id, run_id, "interrupt")) == ("ended" if mine else "missing")
        owner, assistant_id = chance.choice(ids["assistants"])
        mine = owner == tenant.identity
        assert (await filled.assistants.find(tenant, assistant_id, DAY) is not None) == mine
        assert (await filled.assistants.resolve(tenant, assistant_id, DAY) is not None) == mine
        await _search(filled, tenant, ids)


async def _listed(storage: RunStorage, tenant: Principal, thread_id: UUID) -> list[object]:
    listed = await storage.runs.list(tenant, thread_id, status=None, limit=5, offset=0, select=None)
    return list(orjson.loads(listed or "null"))


async def _search(storage: RunStorage, tenant: Principal, ids: dict[str, list[tuple[str, UUID]]]) -> None:
    mine = {str(thread_id) for owner, (thread_id, _) in ids["runs"] if owner == tenant.identity}
    for where in (ThreadFilter(), ThreadFilter(metadata={"known": True})):
        page = await storage.threads.search(tenant, where, limit=20, offset=0)
        found = {each["thread_id"] for each in orjson.loads(page.body)}
        assert found
        assert found <= mine
    visible = {str(assistant_id) for owner, assistant_id in ids["assistants"] if owner == tenant.identity}
    page = await storage.assistants.search(tenant, AssistantFilter(), limit=20, offset=0)
    found = {each["assistant_id"] for each in orjson.loads(page.body)}
    assert found
    assert found <= visible


_MATCHING = {
    "threads": "select thread_id from agenthall.find_matching_threads(null, null, null, null)",
    "assistants": "select assistant_id from agenthall.find_matching_assistants(null, null, null, null)",
}


@pytest.mark.parametrize("noun", _MATCHING)
async def test_the_inverted_index_is_searched_for_the_principal_only(filled: RunStorage, noun: str) -> None:
    everything = {row[0] for row in await filled.admin.fetch(f"select {noun[:-1]}_id from agenthall.{noun}")}
    found = []
    for tenant in TENANTS:
        async with acting_as(filled.app, tenant) as connection:
            policy = {row[0] for row in await connection.fetch(f"select {noun[:-1]}_id from agenthall.{noun}")}
            assert {row[0] for row in await connection.fetch(_MATCHING[noun])} == policy
            found += policy
    assert set(found) == everything and len(found) == len(everything)
    assert await filled.app.fetch(_MATCHING[noun]) == [], "nobody asks"
    async with acting_as(filled.app, LOCAL) as connection:
        assert {row[0] for row in await connection.fetch(_MATCHING[noun])} == everything


async def test_assistants_are_counted_for_the_principal_only(filled: RunStorage) -> None:
    for tenant in [*TENANTS, Principal("nobody"), LOCAL]:
        async with acting_as(filled.app, tenant) as connection:
            seen = await connection.fetchval("select count(*) from agenthall.assistants")
        assert await filled.assistants.count(tenant, AssistantFilter()) == seen


async def test_an_administrator_sees_everything(filled: RunStorage) -> None:
    (_, (thread_id, run_id)), *_ = (await _ids(filled))["runs"]
    assert await filled.runs.find(LOCAL, thread_id, run_id) is not None


async def test_others_threads_are_neither_written_nor_deleted(storage: RunStorage) -> None:
    thread_id = new_id()
    await storage.enqueue(thread_id, TENANTS[0])
    assert await storage.runs.enqueue(TENANTS[1], new_run(thread_id)) == ("thread_missing", None)
    assert not await storage.threads.delete(TENANTS[1], thread_id)
    assert await storage.threads.update(TENANTS[1], thread_id, {"mine": True}, None) is None
    assert await storage.threads.create(TENANTS[1], thread_id, {}, None) is None
    forged = "insert into agenthall.threads (thread_id, owner_id) values ($1, 'tenant-0')"
    async with acting_as(storage.app, TENANTS[1]) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forged, new_id())


async def test_the_app_reaches_no_checkpoints(storage: RunStorage) -> None:
    for statement in ("select from langgraph.checkpoints", "delete from langgraph.checkpoints"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await storage.app.execute(statement)


async def test_checkpoints_are_copied_between_threads_of_the_principal_only(storage: RunStorage) -> None:
    mine, theirs = new_id(), new_id()
    for thread_id, tenant in ((mine, TENANTS[0]), (theirs, TENANTS[1])):
        await storage.threads.create(tenant, thread_id, {}, None)
    copying = "select agenthall.copy_checkpoints($1, $2)"
    for ends in ((mine, theirs), (theirs, mine), (mine, new_id())):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with acting_as(storage.app, TENANTS[0]) as connection:
                await connection.execute(copying, *ends)
    assert await storage.threads.copy(TENANTS[0], theirs, new_id()) is None
    assert await storage.threads.copy(TENANTS[0], mine, new_id()) is not None


async def test_threads_are_counted_for_the_principal_only(filled: RunStorage) -> None:
    async with acting_as(filled.app, LOCAL) as connection:
        everything = await connection.fetchval("select agenthall.count_matching_threads(null, null, null)")
    counts = [await filled.threads.count(tenant, ThreadFilter()) for tenant in TENANTS]
    assert (sum(counts), min(counts) > 0) == (everything, True)
    assert await filled.app.fetchval("select agenthall.count_matching_threads(null, null, null)") == 0, "nobody asks"
