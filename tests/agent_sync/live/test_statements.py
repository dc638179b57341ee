"""The statements of a `GET /assistants/{id}`, in every pool that a web process opens, counted at the driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_tables import CatalogueEditor

from robyn_server.agent_sync import AgentSyncOptions
from robyn_server.agent_sync.live.service import SyncRunner
from robyn_server.agent_sync.live.sources import AgentSources
from robyn_server.core.access.principal import LOCAL
from robyn_server.core.catalogue.fields import AgentSource
from robyn_server.graphs.loading.served_graphs import Graphs
from robyn_server.services.assistants.names import AssistantNames
from robyn_server.services.assistants.service import AssistantService
from robyn_server.services.models import AllowedModels
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.assistants import Assistants
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.storage.registry.agent_names import AgentNames

OF_THE_POOL = (
    "SELECT current_setting('jit')",
    "WITH RECURSIVE typeinfo_tree",
    "select agenthall.discard_outgrown_plans()",
)
"""Sent once for each connection, to learn the types of arrays; and every few seconds, to replace plans."""


@dataclass
class Statements:
    """The statements that each pool has sent, as (pool, statement)."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    async def watch(self, name: str, pool: Pool) -> None:
        def note(query: asyncpg.connection.LoggedQuery) -> None:
            statement = " ".join(query.query.split())
            if not statement.startswith(OF_THE_POOL):
                self.sent.append((name, statement))

        async with pool.acquire() as connection:  # the pool has this one only
            connection.add_query_logger(note)

    def counts(self) -> dict[str, int]:
        return {name: sum(each == name for each, _ in self.sent) for name in ("app", "system", "catalogue")}


@dataclass
class Server:
    service: AssistantService
    sources: AgentSources
    statements: Statements


@pytest.fixture
async def server(agent_sync_dsn: str, pool: Pool) -> AsyncIterator[Server]:
    roles = {"app": Role.APP, "system": Role.SYSTEM, "catalogue": None}
    pools = {name: await open_pool(agent_sync_dsn, role, size=1, name=name) for name, role in roles.items()}
    statements = Statements()
    for name, each in pools.items():
        await statements.watch(name, each)
    options = AgentSyncOptions(default_model="offline:demo")
    store, ttl = PostgresSyncStore(pools["system"]), timedelta(minutes=5)
    runner = SyncRunner(pools["catalogue"], store, ["agent"], options, ttl, dsn=agent_sync_dsn, every=3600)
    graphs = Graphs({"agent": "robyn_server.agent:graph"}, "offline:demo")
    sources = AgentSources({AgentSource.CATALOGUE: runner})
    names = AssistantNames(AgentNames(pools["app"]), graphs)
    assistants = AssistantService(Assistants(pools["app"]), graphs, AllowedModels("offline:demo"), sources, names)
    yield Server(assistants, sources, statements)
    for each in pools.values():
        await each.close()


def expire(server: Server) -> None:
    """Every agent is stale from now on."""
    server.sources.ttl = timedelta(0)
    for runner in server.sources.runners.values():
        runner.ttl = timedelta(0)


async def get(server: Server, agent_id: UUID) -> dict[str, int]:
    server.statements.sent.clear()
    assert str(agent_id) in await server.service.get(LOCAL, str(agent_id))
    return server.statements.counts()


async def test_a_warm_get_is_one_statement(server: Server, catalogue: CatalogueEditor) -> None:
    agent_id = await catalogue.add_agent()
    await get(server, agent_id)
    assert await get(server, agent_id) == {"app": 1, "system": 0, "catalogue": 0}


async def test_a_run_resolves_a_uuid_in_one_statement_and_the_name_of_an_agent_in_two(
    server: Server, agent_sync_dsn: str
) -> None:
    connection = await asyncpg.connect(agent_sync_dsn)
    await connection.execute("set role agenthall_system")
    register = "select config_id from mcp.register_agent_instance($1, 'named-bot', 'c1')"
    config_id = await connection.fetchval(register, uuid4())
    await connection.close()
    for name, statements in ((str(config_id), 1), ("named-bot", 2)):
        server.statements.sent.clear()
        assert (await server.service.resolve(LOCAL, name)).assistant_id == config_id
        assert server.statements.counts() == {"app": statements, "system": 0, "catalogue": 0}


async def test_a_cold_get_of_an_agent_that_did_not_change_reads_each_row_once_and_writes_no_assistant(
    server: Server, catalogue: CatalogueEditor
) -> None:
    agent_id = await catalogue.add_agent()
    await get(server, agent_id)
    expire(server)
    # system: claim the version, compare the assistant, record the check
    assert await get(server, agent_id) == {"app": 2, "system": 3, "catalogue": 1}


async def test_a_cold_get_of_an_agent_that_changed_adds_one_write(server: Server, catalogue: CatalogueEditor) -> None:
    agent_id = await catalogue.add_agent(system_prompt="first")
    await get(server, agent_id)
    await catalogue.update_agent(agent_id, system_prompt="second")
    expire(server)
    assert await get(server, agent_id) == {"app": 2, "system": 4, "catalogue": 1}


async def test_a_first_get_creates_the_assistant_without_a_second_read(
    server: Server, catalogue: CatalogueEditor
) -> None:
    agent_id = await catalogue.add_agent()
    # system: look for the assistant, claim the version, create, record; catalogue: read, write back
    assert await get(server, agent_id) == {"app": 2, "system": 4, "catalogue": 2}
