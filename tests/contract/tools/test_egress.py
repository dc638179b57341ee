"""The egress policy of a whole server: what users see of a tool server that may not be connected to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from databases import fresh_database
from remote.raw_mcp import RawMcp, tool
from servers.live_server import LiveServer, live_server

from robyn_server.egress.network import REFUSED


@pytest.fixture(scope="module")
async def public_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with fresh_database(postgres, template) as url, live_server(url, AGENTHALL_EGRESS="public") as running:
        yield running


@pytest.fixture
def mcp() -> Iterator[RawMcp]:
    server = RawMcp([tool("quick")])
    yield server
    server.close()


async def finished_run(server: LiveServer, url: str) -> Any:
    servers = {"servers": [{"name": "tools", "url": url}]}
    client = server.sdk()
    config = {"configurable": {"mcp_config": servers}}
    assistant = await client.assistants.create("agent", config=config)
    thread = await client.threads.create()
    words = {"messages": [{"role": "user", "content": "hello"}]}
    run = await client.runs.create(thread["thread_id"], assistant["assistant_id"], input=words)
    await client.runs.join(thread["thread_id"], run["run_id"])
    return await client.runs.get(thread["thread_id"], run["run_id"])


async def test_the_run_says_which_tool_server_is_refused_and_goes_on(public_server: LiveServer, mcp: RawMcp) -> None:
    run = await finished_run(public_server, mcp.url)
    assert run["status"] == "success"
    [notice] = run["metadata"]["agenthall_notices"]
    assert notice["kind"] == "mcp_server_unavailable"
    assert notice["detail"].endswith(f"is unavailable: no connection: {REFUSED}")
    [worker] = public_server.workers
    log = worker.read_log()
    assert "the egress policy refused a connection" in log and '"addresses": ["127.0.0.1"]' in log.replace(
        '":[', '": ['
    )
    assert "Traceback" not in log


async def test_the_same_server_is_used_where_the_policy_allows_it(server: LiveServer, mcp: RawMcp) -> None:
    run = await finished_run(server, mcp.url)
    assert run["status"] == "success" and "agenthall_notices" not in run["metadata"]
