"""A graph that holds the event loop delays the other runs of its worker, and costs none of them an attempt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from databases import fresh_database
from servers.live_server import GRAPHS, SAMPLES, LiveServer, live_server, until

from robyn_server.worker.worker import EXIT_STALLED

LEASE = 2.0
BYSTANDERS = 4


@contextlib.asynccontextmanager
async def _server(
    postgres: str, template: str, **settings: str
) -> AsyncIterator[tuple[LiveServer, asyncpg.Connection[Any]]]:
    graphs = orjson.dumps(GRAPHS | {"blocking": f"{SAMPLES}:blocking"}).decode()
    given = {"AGENTHALL_GRAPHS": graphs, "AGENTHALL_RUN_LEASE": str(LEASE), **settings}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, **given) as server,
    ):
        database = await asyncpg.connect(url)
        try:
            yield server, database
        finally:
            await database.close()


async def _run(database: asyncpg.Connection[Any], run_id: str) -> Any:
    return await database.fetchrow("select * from agenthall.runs where run_id = $1", UUID(run_id))


async def _start(http: httpx.AsyncClient, graph: str, given: dict[str, Any]) -> str:
    thread = (await http.post("/threads", json={})).raise_for_status().json()["thread_id"]
    run = await http.post(f"/threads/{thread}/runs", json={"assistant_id": graph, "input": given})
    return str(run.raise_for_status().json()["run_id"])


async def _start_bystanders(http: httpx.AsyncClient, database: asyncpg.Connection[Any], steps: int) -> list[str]:
    runs = [await _start(http, "counter", {"until": steps, "delay": 0.1}) for _ in range(BYSTANDERS)]
    for run_id in runs:
        await until(lambda run_id=run_id: _has_status(database, run_id, "running"))
    return runs


async def _has_status(database: asyncpg.Connection[Any], run_id: str, status: str) -> bool:
    return bool((await _run(database, run_id))["status"] == status)


def _entries(log: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


async def test_a_loop_that_is_blocked_for_longer_than_a_lease_costs_no_run_an_attempt(
    postgres: str, template: str
) -> None:
    async with _server(postgres, template, AGENTHALL_WORKER_SLOTS="8") as (server, database), server.http() as http:
        bystanders = await _start_bystanders(http, database, steps=30)
        culprit = await _start(http, "blocking", {"seconds": 3 * LEASE})
        await until(lambda: _has_status(database, culprit, "running"))
        server.add_worker()  # it would take runs whose leases lapse
        for run_id in (culprit, *bystanders):
            await until(lambda run_id=run_id: _has_status(database, run_id, "success"))
            assert (await _run(database, run_id))["attempt"] == 1
        (entry,) = _entries(server.workers[0].read_log(), "the event loop is blocked")
        assert (entry["run_id"], entry["graph_id"]) == (culprit, "blocking")
        assert "_hold_the_loop" in entry["stack"]
        (free,) = _entries(server.workers[0].read_log(), "the event loop is free again")
        assert free["run_id"] == culprit and 2 * LEASE < free["seconds"] < 5 * LEASE


async def test_a_run_that_never_gives_the_loop_back_ends_alone(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_LOOP_STALL": "3", "AGENTHALL_RUN_MAX_ATTEMPTS": "1"}
    async with _server(postgres, template, **settings) as (server, database), server.http() as http:
        bystanders = await _start_bystanders(http, database, steps=40)
        culprit = await _start(http, "blocking", {"seconds": 3600})
        (worker,) = server.workers
        assert await worker.ended() == EXIT_STALLED
        ended = await _run(database, culprit)
        assert ended["status"] == "error"
        assert json.loads(ended["error"])["error"] == "LoopBlocked"
        for run_id in bystanders:
            row = await _run(database, run_id)
            assert (row["status"], row["max_attempts"] - row["attempt"]) == ("pending", 1)
        worker.start()
        for run_id in bystanders:
            await until(lambda run_id=run_id: _has_status(database, run_id, "success"))
