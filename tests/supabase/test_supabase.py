"""Agenthall on a database laid out as Supabase does it, through poolers, with the logins that docs/how-to/supabase.md
makes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from cluster import Supabase, bearer, execute, rows, sql_of_page
from servers.live_server import LiveServer, until

from robyn_server.core.errors import Misconfigured
from robyn_server.storage.postgres.pooler import PoolerMode, detect_pooler
from robyn_server.storage.postgres.pools import Role, open_listening_connection, open_pool

MEMBER = "00000000-0000-4000-8000-00000000000a"
STRANGER = "00000000-0000-4000-8000-00000000000b"
FIRST, SECOND, THIRD = (f"10000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
THEIRS = ("anon", "authenticated", "service_role")


ADMIN = bearer(MEMBER, permissions=["admin"])


async def edit_as(project: Supabase, user: str, agent_id: str, prompt: str) -> str:
    """Run the statement of a user's PATCH as PostgREST does. Returns the status."""
    connection = await asyncpg.connect(project.url(project.direct))
    try:
        async with connection.transaction():
            await connection.execute("set local role authenticated")
            await connection.execute("select set_config('request.jwt.claims', $1, true)", f'{{"sub": "{user}"}}')
            return await connection.execute(
                "update public.agents set system_prompt = $2 where id = $1", UUID(agent_id), prompt
            )
    finally:
        await connection.close()


async def prompt_of(server: LiveServer, agent_id: str) -> str | None:
    found = await server.sdk(**ADMIN).assistants.search(metadata={"supabase_agent_id": agent_id})
    return found[0]["config"]["configurable"].get("system_prompt") if found else None


async def test_a_pooler_is_known_by_what_it_lends(project: Supabase) -> None:
    found = {}
    for port in (project.direct, project.session, project.transaction):
        connection = await asyncpg.connect(project.url(port), statement_cache_size=0)
        found[port] = await detect_pooler(connection, project.url(port))
        await connection.close()
    assert list(found.values()) == [PoolerMode.NONE, PoolerMode.SESSION, PoolerMode.TRANSACTION]


async def test_agents_are_served_run_and_written_back_through_poolers(project: Supabase, server: LiveServer) -> None:
    async with server.http(**ADMIN) as client:

        async def synced() -> Any:  # the first attempt may come before the layout's rows can be read
            found = (await client.get("/ok")).json()["services"]["agent_sync"]
            return found if "total" in found else None

        sync = await until(synced)
        status = (await client.get("/agents/sync")).json()
    assert (sync["total"], sync["failed"], status["feed_connected"]) == (3, 0, True)
    assert (status["contract"]["problems"], status["contract"]["can_write_back"]) == ([], True)
    client = server.sdk(**bearer(MEMBER))
    thread = (await client.threads.create())["thread_id"]
    answer = await client.runs.wait(thread, FIRST, input={"messages": [{"role": "user", "content": "hello"}]})
    assert answer["messages"][-1]["type"] == "ai"
    assert (await client.threads.get_state(thread))["values"]["messages"][0]["content"] == "hello"
    told = await rows(project.admin, "select count(*) from public.agents where langgraph_assistant_id = id")
    assert told == [(3,)]


async def test_an_edit_that_a_policy_lets_pass_is_heard_past_the_pooler(project: Supabase, server: LiveServer) -> None:
    assert await edit_as(project, STRANGER, SECOND, "stolen") == "UPDATE 0"
    assert await edit_as(project, MEMBER, SECOND, "second") == "UPDATE 1"

    async def is_live() -> bool:
        return await prompt_of(server, SECOND) == "second"

    await until(is_live)


async def test_a_new_agent_is_there_when_it_is_first_asked_for(project: Supabase, server: LiveServer) -> None:
    new = "10000000-0000-4000-8000-000000000009"
    await execute(
        project.url(project.direct),
        f"insert into public.agents (id, name, engine_id, organization_id) select '{new}', 'New', engine_id, organization_id"
        f" from public.agents where id = '{FIRST}'",
    )
    assert (await server.sdk(**bearer(MEMBER)).assistants.get(new))["name"] == "New"


async def test_a_session_of_supabase_auth_sees_the_agents_of_its_organizations(
    project: Supabase, server: LiveServer
) -> None:
    async def status(headers: dict[str, str]) -> int:
        async with server.http(**headers) as client:
            return (await client.get(f"/assistants/{FIRST}")).status_code

    strangers = await asyncio.gather(*(status(bearer(f"{STRANGER[:-2]}{n}")) for n in range(10, 40)))
    assert set(strangers) == {404}, "each was looked up by one of two webs, through the transaction pooler"
    assert await status(bearer(MEMBER)) == 200
    assert await status(bearer(STRANGER)) == 404
    assert await status(bearer(None, role="anon")) == 401
    assert await status({}) == 401


async def test_pools_work_as_our_roles_through_a_session_pooler(project: Supabase, server: LiveServer) -> None:
    pool = await open_pool(project.url(project.session), Role.APP, size=2, name="test")
    found = await pool.fetchrow(
        """select current_user::text, row_security_active('agenthall.threads'), current_setting('plan_cache_mode')"""
    )
    await pool.close()
    assert tuple(found) == ("agenthall_app", True, "force_generic_plan")


async def test_the_next_client_of_a_session_pooler_finds_no_role_of_ours(project: Supabase, server: LiveServer) -> None:
    for _ in range(5):
        assert await rows(project.url(project.session), "select current_user::text") == [("postgres",)]


async def test_the_catalogue_is_read_through_a_transaction_pooler_by_many_at_once(
    project: Supabase, server: LiveServer
) -> None:
    pool = await open_pool(project.url(project.transaction, "agenthall_catalogue"), None, size=12, name="test")
    query = "select $1::int from public.agents where id = any ($2::uuid[])"
    answers = await asyncio.gather(*(pool.fetchval(f"{query} -- {n % 7}", n, [UUID(FIRST)]) for n in range(300)))
    await pool.close()
    assert answers == list(range(300))


async def test_nobody_works_as_a_role_or_listens_through_a_transaction_pooler(project: Supabase) -> None:
    dsn = project.url(project.transaction)
    with pytest.raises(Misconfigured, match=r"transaction pooler.*5432"):
        await open_pool(dsn, Role.APP, size=1, name="test")
    with pytest.raises(Misconfigured, match="LISTEN") as refusal:
        await open_listening_connection(dsn, name="test")
    assert "postgres-password" not in str(refusal.value)


def test_a_server_does_not_start_on_a_transaction_pooler(project: Supabase) -> None:
    environment = os.environ | {"DATABASE_URL": project.url(project.transaction)}
    said = subprocess.run(
        [sys.executable, "-m", "robyn_server", "migrate"], env=environment, capture_output=True, text=True, check=False
    )
    assert (said.returncode, "is a transaction pooler" in said.stderr) == (2, True), said.stderr


async def test_the_data_api_reaches_nothing_of_ours(project: Supabase, server: LiveServer) -> None:
    found = await rows(project.url(project.direct), sql_of_page("Agenthall and the Data API"))
    assert {row[1] for row in found} >= {"agenthall", "langgraph", "agenthall_catalogue"}
    assert not any(row[2] for row in found)
    for role in THEIRS:
        for statement in (
            "select * from agenthall.threads",
            "select * from langgraph.checkpoints",
            "select agenthall.act_as('x', '*', true)",
            "select agenthall_catalogue.notify_agents('{}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema"):
                await rows(project.url(project.direct), statement, role)


async def test_nothing_of_ours_is_in_public_and_no_table_of_ours_is_granted(
    project: Supabase, server: LiveServer
) -> None:
    tables = await rows(
        project.admin,
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
    )
    assert {row[0] for row in tables} == {
        "agents", "agent_mcp_tools", "mcp_tools", "global_ai_engines", "ai_models", "organization_members",
    }  # fmt: skip
    granted = await rows(
        project.admin,
        """select role.name, c.oid::regclass::text from unnest(array['anon', 'authenticated', 'service_role']) as role (name)
            cross join pg_class c
            where c.relnamespace::regnamespace::text in ('agenthall', 'langgraph', 'mcp') and c.relkind in ('r', 'p', 'v', 'm')
              and has_table_privilege(role.name, c.oid, 'select, insert, update, delete')""",
    )
    assert granted == []


async def test_a_policy_that_hides_agents_retires_none_and_is_told(project: Supabase, server: LiveServer) -> None:
    owner = project.url(project.direct)
    await execute(owner, "alter policy agenthall_reads on public.agents using (auth.uid() is not null)")
    try:
        async with server.http(**ADMIN) as client:
            refused = await client.post("/agents/sync", json={})
            assert refused.status_code == 503
            assert "row-level security hides rows of public.agents from role agenthall_catalogue" in refused.text
            status = (await client.get("/agents/sync")).json()
            assert any("row-level security hides" in each for each in status["contract"]["problems"])
            await edit_as(project, MEMBER, THIRD, "while hidden")
            unknown = await client.get("/assistants/10000000-0000-4000-8000-0000000000ff")
            assert (unknown.status_code, "row-level security" in unknown.text) == (503, True)
            for agent_id in (FIRST, SECOND, THIRD):
                assert (await client.get(f"/assistants/{agent_id}")).status_code == 200
    finally:
        await execute(owner, "alter policy agenthall_reads on public.agents using (true)")

    async def is_live() -> bool:
        return await prompt_of(server, THIRD) == "while hidden"

    await until(is_live)


async def test_a_write_back_that_a_policy_swallows_is_told_and_made_up_for(
    project: Supabase, server: LiveServer
) -> None:
    owner = project.url(project.direct)
    await execute(owner, "drop policy agenthall_writes on public.agents")
    try:
        await execute(owner, f"update public.agents set langgraph_assistant_id = null where id = '{FIRST}'")
        async with server.http(**ADMIN) as client:
            await client.post("/agents/sync", json={})
            status = (await client.get("/agents/sync")).json()
        assert status["contract"]["can_write_back"] is False
        assert await rows(owner, f"select langgraph_assistant_id from public.agents where id = '{FIRST}'") == [(None,)]
        pending = await rows(owner, f"select write_back_pending from agenthall.agent_sync where agent_id = '{FIRST}'")
        assert pending == [(False,)], "it is known that nothing can be written"
    finally:
        await execute(
            owner,
            "create policy agenthall_writes on public.agents for update to agenthall_catalogue using (true) with check (true)",
        )
    async with server.http(**ADMIN) as client:
        for _ in range(2):  # the first finds that it may write again
            await client.post("/agents/sync", json={})
    assert await rows(owner, f"select langgraph_assistant_id::text from public.agents where id = '{FIRST}'") == [
        (FIRST,)
    ]
