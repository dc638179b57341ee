"""Erasing a user and an organization of a running server, with the command that operators use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from commands.command_line import agenthall
from databases import prepared_database
from servers.live_server import LiveServer, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

from contract.registry.registry_api import new_agent_id, register

USER, OTHER = "ada@example.org", "mia@example.org"


@pytest.fixture
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with prepared_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


@pytest.fixture
async def login(server: LiveServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.database)
    yield connection
    await connection.close()


async def erase(server: LiveServer, *arguments: str) -> Any:
    done = await asyncio.to_thread(
        agenthall, "erase", *arguments, "-o", "json", DATABASE_URL=server.database, AGENTHALL_LOG_LEVEL="error"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def tables_with(login: asyncpg.Connection, text: str) -> list[str]:
    tables = await login.fetch(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind = 'r' and n.nspname in ('agenthall', 'mcp', 'langgraph', 'public') order by 1"
    )
    patterns = (f"%{text}%", f"%{text.encode().hex()}%")
    return [
        table
        for (table,) in tables
        if await login.fetchval(f"select exists (select from {table} x where x::text like any ($1))", patterns)
    ]


async def _use(server: LiveServer, user: str, organization: str, agent: str) -> None:
    """Leave data of every kind that the API makes."""
    sdk = server.sdk(**bearer(user, organization))
    thread = (await sdk.threads.create(metadata={"of": user}))["thread_id"]
    await sdk.runs.wait(thread, "echo", input={"text": user})
    await sdk.store.put_item(("notes",), "one", {"of": user})
    await sdk.assistants.create("echo", name=f"of {user}")
    async with server.http(**bearer(user, organization)) as client:
        await register(client, agent, instance_id=user[:3])


async def test_a_user_is_erased_while_a_run_of_theirs_is_running(server: LiveServer, login: asyncpg.Connection) -> None:
    agent = new_agent_id()
    await _use(server, USER, HARBOUR, agent)
    await _use(server, OTHER, HARBOUR, agent)
    sdk = server.sdk(**bearer(USER, HARBOUR))
    thread = (await sdk.threads.create())["thread_id"]
    run = await sdk.runs.create(thread, "counter", input={"until": 2, "delay": 300})

    async def is_running() -> bool:
        query = "select status = 'running' from agenthall.runs where run_id = $1"
        return bool(await login.fetchval(query, run["run_id"]))

    await until(is_running)
    counted = await erase(server, "user", USER, "--dry-run")
    assert counted["agenthall.threads"] == 2
    assert await is_running()
    erased = await erase(server, "user", USER, "--organization", HARBOUR, "--yes")
    assert erased["agenthall.threads"] == 2 and erased["agenthall.runs"] == 2
    assert await tables_with(login, USER) == ["agenthall.store_items"]
    assert (await erase(server, "user", USER, "--yes"))["agenthall.store_items"] == 1
    assert await tables_with(login, USER) == []
    theirs = server.sdk(**bearer(OTHER, HARBOUR))
    (kept,) = await theirs.threads.search()
    assert await theirs.runs.wait(kept["thread_id"], "echo", input={"text": "still here"}) == {"text": "still here"}
    assert (await theirs.store.get_item(("notes",), "one"))["value"] == {"of": OTHER}
    server.check_alive()


async def test_an_organization_is_erased_and_the_others_go_on(server: LiveServer, login: asyncpg.Connection) -> None:
    await _use(server, USER, HARBOUR, new_agent_id())
    await _use(server, OTHER, MEADOW, new_agent_id())
    async with server.http(**bearer("root", permissions=("admin",))) as root:
        for organizations in ([HARBOUR], [HARBOUR, MEADOW]):
            assert (await root.post("/keys", json={"organizations": organizations})).is_success
    erased = await erase(server, "organization", HARBOUR, "--yes")
    assert erased["agenthall.threads"] == 1 and erased["mcp.agent_configurations"] == 1

    async def is_gone() -> bool:
        return await tables_with(login, HARBOUR) == []

    await until(is_gone)  # a server that published an event meanwhile has it for a moment longer
    theirs = server.sdk(**bearer(OTHER, MEADOW))
    (kept,) = await theirs.threads.search()
    assert await theirs.runs.wait(kept["thread_id"], "echo", input={"text": "on"}) == {"text": "on"}
    async with server.http(**bearer(OTHER, MEADOW)) as client:
        assert len((await client.get("/agents/instances")).json()["instances"]) == 1


async def test_nothing_is_erased_without_a_confirmation(server: LiveServer, login: asyncpg.Connection) -> None:
    await server.sdk(**bearer(USER, HARBOUR)).threads.create()
    refused = await asyncio.to_thread(agenthall, "erase", "user", USER, DATABASE_URL=server.database)
    assert refused.returncode == 1 and "cannot be undone" in refused.stderr
    assert await login.fetchval("select count(*) from agenthall.threads where owner_id = $1", USER) == 1
    wrong = await asyncio.to_thread(agenthall, "erase", "user", "system", "--yes", DATABASE_URL=server.database)
    assert wrong.returncode in {1, 2}
    assert "no user" in wrong.stderr
