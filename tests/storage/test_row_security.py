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
from stored_runs import Store, new_run, open_store

from robyn_server.core.ids import new_id
from robyn_server.core.principal import LOCAL, Principal
from robyn_server.storage.assistants import AssistantFilter
from robyn_server.storage.database import acting_as
from robyn_server.storage.threads import ThreadFilter

TABLES = ("assistants", "assistant_versions", "threads", "runs", "run_events")
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


@pytest.fixture(scope="module", params=[6, 6_000])
async def filled(request: pytest.FixtureRequest, postgres: str, template: str) -> AsyncIterator[Store]:
    """Three tenants' rows, so few that every plan reads the table and so many that plans use indexes; one connection."""
    async with fresh_database(postgres, template) as url, open_store(url, size=1) as store:
        await store.admin.execute(_FILL, request.param, ORGANIZATIONS)
        await store.admin.execute(_FILL_THREADS, request.param)
        await store.admin.execute(_FILL_RUNS)
        await store.admin.execute(_FILL_EVENTS)
        await store.admin.execute("analyze")
        yield store


async def test_without_a_principal_nothing_is_visible(filled: Store) -> None:
    for table in TABLES:
        assert await filled.app.fetchval(f"select count(*) from agenthall.{table}") == 0


async def test_without_the_predicate_only_own_rows_are_visible(filled: Store) -> None:
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


async def test_a_principal_is_forgotten_when_its_statement_ends(filled: Store) -> None:
    for _ in range(10):
        assert (await filled.threads.search(TENANTS[0], ThreadFilter(), limit=5, offset=0)).body != "[]"
        assert await filled.app.fetchval("select count(*) from agenthall.threads") == 0


async def _ids(store: Store) -> dict[str, list[tuple[str, UUID]]]:
    runs = await store.admin.fetch("select owner_id, thread_id, run_id from agenthall.runs")
    every = await store.admin.fetch(
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


async def test_tenants_taking_turns_on_one_connection_never_see_each_other(filled: Store) -> None:
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


async def _listed(store: Store, tenant: Principal, thread_id: UUID) -> list[object]:
    listed = await store.runs.list(tenant, thread_id, status=None, limit=5, offset=0, select=None)
    return list(orjson.loads(listed))


async def _search(store: Store, tenant: Principal, ids: dict[str, list[tuple[str, UUID]]]) -> None:
    mine = {str(thread_id) for owner, (thread_id, _) in ids["runs"] if owner == tenant.identity}
    for where in (ThreadFilter(), ThreadFilter(metadata={"known": True})):
        page = await store.threads.search(tenant, where, limit=20, offset=0)
        found = {each["thread_id"] for each in orjson.loads(page.body)}
        assert found
        assert found <= mine
    visible = {str(assistant_id) for owner, assistant_id in ids["assistants"] if owner == tenant.identity}
    page = await store.assistants.search(tenant, AssistantFilter(), limit=20, offset=0)
    found = {each["assistant_id"] for each in orjson.loads(page.body)}
    assert found
    assert found <= visible


async def test_an_administrator_sees_everything(filled: Store) -> None:
    (_, (thread_id, run_id)), *_ = (await _ids(filled))["runs"]
    assert await filled.runs.find(LOCAL, thread_id, run_id) is not None


async def test_others_threads_are_neither_written_nor_deleted(store: Store) -> None:
    thread_id = new_id()
    await store.enqueue(thread_id, TENANTS[0])
    assert await store.runs.enqueue(TENANTS[1], new_run(thread_id)) == ("thread_missing", None)
    assert not await store.threads.delete(TENANTS[1], thread_id)
    assert await store.threads.merge_metadata(TENANTS[1], thread_id, {"mine": True}) is None
    assert await store.threads.create(TENANTS[1], thread_id, {}, None) is None
    forged = "insert into agenthall.threads (thread_id, owner_id) values ($1, 'tenant-0')"
    async with acting_as(store.app, TENANTS[1]) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forged, new_id())


async def test_the_app_reaches_no_checkpoints(store: Store) -> None:
    for statement in ("select from langgraph.checkpoints", "delete from langgraph.checkpoints"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await store.app.execute(statement)
