"""Runs of catalogue agents: their tools, and their answers when a tool or a key is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from catalogues.catalogue_writer import TABLES, CatalogueWriter
from databases import fresh_database
from remote.mcp_process import SERVERS
from servers.live_server import LiveServer, accepts, free_port, live_server, until

TOOLBOX = SERVERS / "toolbox.py"


@pytest.fixture(scope="module")
async def database_with_catalogue(postgres: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(postgres, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        yield url


@pytest.fixture(scope="module")
async def agent_server(database_with_catalogue: str) -> AsyncIterator[LiveServer]:
    async with live_server(
        database_with_catalogue, AGENT_SYNC_SCOPE="all", AGENTHALL_MCP_CONNECT_TIMEOUT="2"
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def catalogue_writer(database_with_catalogue: str) -> AsyncIterator[CatalogueWriter]:
    connection = await asyncpg.connect(database_with_catalogue)
    yield CatalogueWriter(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def toolbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Path]]:
    """The URL of a real MCP server, and the file that it logs its calls to."""
    port, log = free_port(), tmp_path_factory.mktemp("toolbox") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, str(TOOLBOX), "--port", str(port)], stdout=out, stderr=out)
    try:
        await until(lambda: process.poll() is not None or accepts(port))
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.kill()
        process.wait()


def says(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def ask(server: LiveServer, agent_id: str, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's last values, and the run."""
    client = server.sdk()
    thread = (await client.threads.create())["thread_id"]
    values = await client.runs.wait(thread, agent_id, input=says(text), raise_error=False)
    runs = await client.runs.list(thread)
    return dict(values), dict(runs[0])


async def test_an_agent_added_while_the_server_runs_answers_at_once_with_its_tool(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter, toolbox: tuple[str, Path]
) -> None:
    url, log = toolbox
    agent_id = await catalogue_writer.add_agent(tools={url: ["echo"]})
    values, run = await ask(agent_server, agent_id, 'use the tool echo {"text": "straight from the row"}')
    assert [message["type"] for message in values["messages"]] == ["human", "ai", "tool", "ai"]
    assert "straight from the row" in values["messages"][-1]["content"]
    await until(lambda: f"call echo {json.dumps({'text': 'straight from the row'})}" in log.read_text())
    assert (run["status"], "agenthall_notices" in run["metadata"]) == ("success", False)


async def test_a_dead_server_is_named_and_the_other_servers_tools_stay(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter, toolbox: tuple[str, Path]
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    agent_id = await catalogue_writer.add_agent(tools={toolbox[0]: ["echo"], dead: ["anything"]})
    values, run = await ask(agent_server, agent_id, 'use the tool echo {"text": "still here"}')
    assert "still here" in values["messages"][-1]["content"]
    notices = run["metadata"]["agenthall_notices"]
    assert [(notice["kind"], notice["url"]) for notice in notices] == [("mcp_server_unavailable", dead)]
    assert dead in values["messages"][-1]["content"]


async def test_an_agent_whose_only_server_is_dead_says_so(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    values, _ = await ask(agent_server, await catalogue_writer.add_agent(tools={dead: ["anything"]}), "hello")
    assert dead in values["messages"][-1]["content"]


async def test_a_server_that_needs_a_credential_is_named_and_never_dialled(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter, toolbox: tuple[str, Path]
) -> None:
    agent_id = await catalogue_writer.add_agent()
    await catalogue_writer.add_tool(UUID(agent_id), toolbox[0], "whoami", auth_required=True)
    _, run = await ask(agent_server, agent_id, "use the tool whoami")
    (notice,) = run["metadata"]["agenthall_notices"]
    assert notice["kind"] == "mcp_server_unavailable"
    assert "needs a credential" in notice["detail"]


async def test_agents_as_tools_are_named_as_not_yet_offered(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter
) -> None:
    other = uuid4()
    _, run = await ask(agent_server, await catalogue_writer.add_agent(assistant_tool_ids=[other]), "hello")
    assert run["metadata"]["agenthall_notices"][0]["names"] == [str(other)]


async def test_a_missing_key_is_an_error_that_names_it(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter
) -> None:
    values, run = await ask(agent_server, await catalogue_writer.add_agent(model="openai:gpt-4o"), "hello")
    assert "OPENAI_API_KEY" in values["__error__"]["message"]
    assert run["status"] == "error"


@pytest.mark.parametrize("model", ["nobody:nothing", "gpt-unheard-of", "anthropic:claude-x"])
async def test_a_model_that_cannot_be_had_is_an_error_that_names_it(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter, model: str
) -> None:
    values, _ = await ask(agent_server, await catalogue_writer.add_agent(model=model), "hello")
    assert model.partition(":")[0] in values["__error__"]["message"]


async def test_a_failing_tool_is_told_to_the_model_and_does_not_end_the_run(
    agent_server: LiveServer, catalogue_writer: CatalogueWriter, toolbox: tuple[str, Path]
) -> None:
    agent_id = await catalogue_writer.add_agent(tools={toolbox[0]: ["fail"]})
    values, run = await ask(agent_server, agent_id, 'use the tool fail {"why": "on purpose"}')
    assert (values["messages"][2]["status"], run["status"]) == ("error", "success")
    assert "on purpose" in values["messages"][2]["content"]
