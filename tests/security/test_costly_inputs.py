"""Inputs with which an audit silenced a server, each sent beside another client, which must not notice.

The limits are those of a quiet machine (100 ms). On a busy one the other client waits anyhow, so its wait before and
the load count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from databases import fresh_database
from remote.mcp_process import McpProcess
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server

from .large_bodies import ECHO, REFUSED
from .observed_process import observe, p99

LONGEST_WAIT = 0.1
BUSY = 10
"""How much longer than before the other client may wait. The inputs took a hundred to a thousand times as long."""
TIMES = 3
MEASUREMENTS = 3


def _longest_wait() -> float:
    """On a machine with more work than CPUs, everybody waits that much longer."""
    return LONGEST_WAIT * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Watched:
    """A server with an observer of its processes, and a database connection."""

    server: LiveServer
    http: httpx.AsyncClient
    database: asyncpg.Connection[Any]

    def observe(self) -> Any:
        return observe(self.server.port, [process.popen.pid for process in self.server.processes])

    async def during(self, send: Callable[[], Awaitable[Any]], times: int = TIMES) -> None:
        """Send it, and check what another client noticed and what it cost. `send` returns when it was answered.

        The other client's wait is measured again when it was too long: other processes of the machine make it wait,
        too.
        """
        waits: list[tuple[float, float]] = []
        while not any(waited < max(_longest_wait(), BUSY * before) for waited, before in waits):
            assert len(waits) < MEASUREMENTS, waits
            waits.append(await self._measure(send, times))

    async def _measure(self, send: Callable[[], Awaitable[Any]], times: int) -> tuple[float, float]:
        """The wait of the other client while it is sent, and before."""
        with self.observe() as before:
            await asyncio.sleep(1)
        with self.observe() as during:
            for _ in range(times):
                await send()
            await asyncio.sleep(0.3)
        for pid, size in during.memory.items():
            assert size < 2 * before.memory[pid], (size, before.memory[pid])
        assert await self._lost_attempts() == []
        return p99(during.waits), p99(before.waits)

    async def _lost_attempts(self) -> list[Any]:
        return list(await self.database.fetch("select run_id, graph_id, attempt from agenthall.runs where attempt > 1"))


@pytest.fixture(scope="module")
async def watched(postgres: str, template: str) -> AsyncIterator[Watched]:
    graphs = orjson.dumps(GRAPHS | {"blocking": f"{SAMPLES}:blocking"}).decode()
    patient = {"AGENTHALL_MCP_CONNECT_TIMEOUT": "60"}  # the tool server needs seconds for 40 MB on a busy machine
    settings = {"AGENTHALL_GRAPHS": graphs, "AGENTHALL_RUN_LEASE": "3", **patient}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, **settings) as server,
        server.http() as http,
    ):
        await _warm_up(http)
        connection = await asyncpg.connect(url)
        yield Watched(server, http, connection)
        await connection.close()


async def _warm_up(http: httpx.AsyncClient) -> None:
    """The first run of an agent and the first state import LangGraph and MCP, which is half of a process's memory."""
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    context = {"mcp_config": {"servers": [{"name": "absent", "url": "http://127.0.0.1:9/mcp"}]}}
    body = {"assistant_id": "agent", "input": asked, "context": context}
    await http.post(f"/threads/{thread}/runs/wait", json=body)
    assert (await http.get(f"/threads/{thread}/state")).status_code == 200


@pytest.fixture
async def thread(watched: Watched) -> str:
    return str((await watched.http.post("/threads", json={})).json()["thread_id"])


@pytest.mark.parametrize("what", REFUSED)
async def test_a_large_body_that_is_refused_costs_others_nothing(watched: Watched, thread: str, what: str) -> None:
    path, body = REFUSED[what]
    content = orjson.dumps(body)

    async def send() -> None:
        answer = await watched.http.post(path.format(thread=thread), content=content)
        assert answer.status_code in (413, 422), answer.text[:300]
        assert len(answer.content) < 5000

    await watched.during(send)


ACCEPTED: dict[str, Any] = {
    "a text": "x" * 3_000_000,
    "many texts": ["x" * 16] * 140_000,
    "many objects": [{"a": "x" * 20}] * 70_000,
}


@pytest.mark.parametrize("what", ACCEPTED)
async def test_a_run_with_a_large_input_costs_others_nothing(watched: Watched, thread: str, what: str) -> None:
    content = orjson.dumps(ECHO | {"input": {"text": ACCEPTED[what]}})

    async def send() -> None:
        answer = await watched.http.post(f"/threads/{thread}/runs/wait", content=content)
        assert answer.status_code == 200 and b"__error__" not in answer.content[:100]

    await watched.during(send)

    async def read() -> None:
        for path in ("state", "history?limit=100", "runs?limit=1000"):
            answer = await watched.http.get(f"/threads/{thread}/{path}")
            assert answer.status_code == 200 or answer.json()["code"] == "answer_too_large"

    await watched.during(read, times=1)


SERVERS = {
    "20,000 tools": ("many tools", 2_000_000, "json"),
    "a list of tools of 40 MB": ("tools", 40_000_000, "json"),
    "an answer to initialize of 60 MB": ("initialize", 60_000_000, "json"),
    "a result of 50 MB in an event": ("result", 50_000_000, "events"),
    "a result of 20 MB": ("result", 20_000_000, "json"),
    "a result of 200 MB, compressed": ("result", 200_000_000, "gzip"),
    "a result of four million lines": ("result", 30_000_000, "lines"),
}


@pytest.mark.parametrize("what", SERVERS)
async def test_a_tool_server_that_answers_too_much_costs_others_nothing(watched: Watched, what: str) -> None:
    large, size, form = SERVERS[what]
    with McpProcess("oversized.py", "--large", large, "--bytes", str(size), "--as", form) as server:
        asked = {"messages": [{"role": "user", "content": "use the tool large with {}"}]}
        context = {"mcp_config": {"servers": [{"name": "large", "url": server.url}]}}
        content = orjson.dumps({"assistant_id": "agent", "input": asked, "context": context})

        async def send() -> None:
            answer = await watched.http.post("/runs/wait", content=content)
            assert b"AGENTHALL_MCP_MAX" in answer.content or b"values" in answer.content or b"gzip" in answer.content

        await watched.during(send, times=1)


async def test_a_run_that_holds_the_loop_costs_other_runs_no_attempt(watched: Watched, thread: str) -> None:
    body = {"assistant_id": "blocking", "input": {"seconds": 8}}
    bystander = {"assistant_id": "counter", "input": {"until": 20, "delay": 0.1}}

    async def send() -> None:
        other = str((await watched.http.post("/threads", json={})).json()["thread_id"])
        run = await watched.http.post(f"/threads/{other}/runs", json=bystander)
        await watched.http.post(f"/threads/{thread}/runs/wait", json=body)
        await watched.http.get(f"/threads/{other}/runs/{run.json()['run_id']}/join")
        row = await watched.database.fetchrow(
            "select status, attempt from agenthall.runs where run_id = $1", UUID(run.json()["run_id"])
        )
        assert (row["status"], row["attempt"]) == ("success", 1)

    await watched.during(send, times=1)
