"""The doctor on agents that registered and cannot be called."""

from __future__ import annotations

import asyncio
import os
from uuid import UUID, uuid4

import asyncpg
from databases import fresh_database
from servers.forked_process import run_agenthall


async def doctor(url: str, **environment: str) -> str:
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    said = await asyncio.to_thread(
        run_agenthall, "doctor", "--port", "0", env={**inherited, "DATABASE_URL": url, **environment}
    )
    return next(line for line in said.stdout.splitlines() if line.split()[1] == "agents")


async def test_an_agent_whose_id_another_assistant_has_is_named(postgres: str, template: str) -> None:
    taken, tenant = uuid4(), uuid4()
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("set role agenthall_system")
        await connection.execute("select mcp.register_agent_instance($1, 'fine-bot', 'c1')", tenant)
        assert (await doctor(url)).startswith("ok")
        await _make_client_assistant(connection, taken)
        await connection.execute(
            "insert into mcp.agents (id, tenant_id, name) values ($1, $2, 'Late Bot')", taken, tenant
        )
        told = await doctor(url)
        assert told.startswith("FAIL") and "'late-bot'" in told and "fine-bot" not in told
        await connection.close()


async def test_an_agent_with_the_name_of_a_graph_is_named(postgres: str, template: str) -> None:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("select mcp.register_agent_instance($1, 'late-graph', 'c1')", uuid4())
        await connection.close()
        assert (await doctor(url)).startswith("ok")
        told = await doctor(url, AGENTHALL_GRAPHS='{"late-graph": "tools_agent.agent:graph"}')
        assert told.startswith("FAIL") and "'late-graph'" in told


async def test_a_database_without_tables_has_none(postgres: str) -> None:
    async with fresh_database(postgres) as url:
        assert (await doctor(url)).split(maxsplit=2)[2] == "none yet"


async def _make_client_assistant(connection: asyncpg.Connection, assistant_id: UUID) -> None:
    await connection.execute(
        "insert into agenthall.assistants (assistant_id, graph_id, name, owner_id, visibility)"
        " values ($1, 'agent', 'mine', 'anna', 'private')",
        assistant_id,
    )
