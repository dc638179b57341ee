"""Two webs and two workers that start at the same moment on one PostgreSQL 15, over a catalogue of 1,000 agents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import asyncpg
import orjson
import pytest
from databases import PG15, private_postgres
from run_observer import observe_database
from servers.live_server import LiveServer, live_server, until

from robyn_server.files import packaged

AGENTS = 1_000

_AGENTS = """
insert into public.agents (organization_id, name, system_prompt, graph_id, engine_id, engine_type)
select ('c1000000-0000-4000-8000-00000000000' || n % 4)::uuid, 'agent ' || n, 'You are number ' || n, 'agent',
       'e1000000-0000-4000-8000-000000000001', 'global'
  from generate_series(1, $1::integer) n"""


@pytest.fixture(autouse=True)
def check_invariants() -> None:
    """No runs here."""


@pytest.fixture(scope="module")
def fifteen() -> Iterator[str]:
    if not PG15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    with private_postgres(os.environ | {"PGBIN": str(PG15)}, fsync="off") as postgres:
        yield postgres.dsn


@pytest.fixture(scope="module")
async def catalogue(fifteen: str) -> str:
    connection = await asyncpg.connect(fifteen)
    demo = (packaged("demo") / "catalogue.sql").read_text()
    tables = demo.partition("insert into public.mcp_tools")[0]
    await connection.execute(tables)
    await connection.execute(_AGENTS, AGENTS)
    await connection.close()
    return fifteen


def _finished(server: LiveServer) -> list[dict[str, Any]]:
    """Return the log entries of each web's first sync."""
    lines = [line for web in server.webs for line in web.read_log().splitlines() if "agent sync finished" in line]
    return [orjson.loads(line) for line in lines]


async def _started(url: str) -> tuple[list[dict[str, Any]], list[Any], list[str]]:
    """Starts everything; the counters of both syncs, the assistants as they are then, and what was logged as a warning
    or worse."""
    async with live_server(url, webs=2, workers=2, AGENT_SYNC_SCOPE="all") as server:
        await until(lambda: len(_finished(server)) == 2)
        await until(lambda: all("worker claims runs" in worker.read_log() for worker in server.workers))
        server.check_alive()
        async with observe_database(url) as observer:
            rows = await observer.rows(
                "select a.*, a.xmin::text as xmin from agenthall.assistants a order by assistant_id"
            )
        troubles = [line for each in server.processes for line in each.read_log().splitlines() if _is_trouble(line)]
        return _finished(server), rows, troubles


def _is_trouble(line: str) -> bool:
    return any(f'"level":"{level}"' in line.replace(" ", "") for level in ("warning", "error", "critical"))


async def test_each_agent_is_created_once_and_a_second_start_writes_nothing(catalogue: str) -> None:
    counters, rows, troubles = await _started(catalogue)
    assert troubles == []
    assert sum(each["created"] for each in counters) == AGENTS
    assert [(each["total"], each["failed"], each["updated"]) for each in counters] == [(AGENTS, 0, 0)] * 2
    assert sum(row["catalogue_hash"] is not None for row in rows) == AGENTS
    assert {row["version"] for row in rows} == {1}

    counters, again, troubles = await _started(catalogue)
    assert troubles == []
    assert [(each["created"], each["updated"], each["failed"]) for each in counters] == [(0, 0, 0)] * 2
    assert [tuple(row) for row in again] == [tuple(row) for row in rows]
    async with observe_database(catalogue) as observer:
        assert await observer.value("select count(*) from agenthall.assistant_versions") == len(rows)
        unwritten = "select count(*) from public.agents where langgraph_assistant_id is distinct from id::text"
        assert await observer.value(unwritten) == 0
        failures = "select count(*) from agenthall.agent_sync where failure is not null or write_back_pending"
        assert await observer.value(failures) == 0
