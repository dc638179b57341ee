"""The sample catalogue, as psql loads it."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest
from catalogues.sync_storage import MemoryStorage
from databases import fresh_database

from robyn_server.agent_sync import AgentSyncScope, fetch_active_agents, probe_catalogue, startup_agent_sync
from robyn_server.files import packaged
from robyn_server.supervisor.postgres.binaries import find_binaries

LEGAL, DOCUMENTS = "http://127.0.0.1:1", "http://127.0.0.1:2"
TOOLS = {LEGAL: {"search_law", "cite_law"}, DOCUMENTS: {"search_docs", "read_document", "word_count"}}


@pytest.fixture(scope="module")
async def demo(postgres):
    """A pool on a database with the demo in it."""
    psql = find_binaries().program("psql")
    async with fresh_database(postgres) as dsn, asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        urls = ["-v", f"legal_mcp_url={LEGAL}", "-v", f"documents_mcp_url={DOCUMENTS}"]
        file = str(packaged("demo") / "catalogue.sql")
        loading = await asyncio.create_subprocess_exec(
            psql,
            "-X",
            "-q",
            "-1",
            "-v",
            "ON_ERROR_STOP=1",
            *urls,
            "-d",
            dsn,
            "-f",
            file,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await loading.communicate()
        assert (loading.returncode, complaint) == (0, b"")
        yield pool


async def test_it_keeps_the_contract(demo):
    contract = await probe_catalogue(demo)
    assert (contract.problems, contract.absent_columns, contract.can_write_back) == ([], (), True)


async def test_its_agents_are_worth_a_conversation(demo):
    agents = await fetch_active_agents(demo, AgentSyncScope("all"))
    assert len(agents) == 5
    assert {agent.organization_id for agent in agents} == {
        UUID("0a000000-0000-4000-8000-000000000001"),
        UUID("0b000000-0000-4000-8000-000000000002"),
    }
    assert {agent.runtime_model_name for agent in agents} == {"offline:demo", "offline:slow"}
    urls = [{tool.endpoint_url for tool in agent.mcp_tools} for agent in agents]
    assert set(TOOLS) in urls
    assert set() in urls
    assert ["search_docs"] in [[tool.tool_name for tool in agent.mcp_tools] for agent in agents]
    assert any(agent.assistant_tool_ids for agent in agents)
    assert all(tool.tool_name in TOOLS[tool.endpoint_url] for agent in agents for tool in agent.mcp_tools)
    assert all(agent.system_prompt and agent.description for agent in agents)


async def test_all_of_it_is_served_by_the_graph_agent(demo):
    counters = await startup_agent_sync(
        demo, MemoryStorage(), scope=AgentSyncScope("all"), owner_id="system", graphs={"agent"}
    )
    assert counters == {"total": 5, "created": 5, "updated": 0, "skipped": 0, "failed": 0}
