"""A run that ends its process harms no other for long, and runs may have processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import psutil
import pytest
from databases import fresh_database
from servers.live_server import GRAPHS, LiveServer, Process, live_server, until
from users.demo_users import HARBOUR, MEADOW, SECRET, bearer

CRASHING = Path(__file__).parents[1] / "support" / "served" / "crashing_graphs.py"


@contextlib.asynccontextmanager
async def _server(
    postgres: str, template: str, **settings: str
) -> AsyncIterator[tuple[LiveServer, asyncpg.Connection[Any]]]:
    own = {name: f"{CRASHING}:{name}" for name in ("crashing", "remembering")}
    given = {"AGENTHALL_GRAPHS": orjson.dumps(GRAPHS | own).decode(), "AGENTHALL_RUN_LEASE": "2", **settings}
    async with fresh_database(postgres, template) as url, live_server(url, **given) as server:
        database = await asyncpg.connect(url)
        try:
            yield server, database
        finally:
            await database.close()


async def _start(http: httpx.AsyncClient, graph: str, given: dict[str, Any]) -> str:
    thread = (await http.post("/threads", json={})).raise_for_status().json()["thread_id"]
    run = await http.post(f"/threads/{thread}/runs", json={"assistant_id": graph, "input": given})
    return str(run.raise_for_status().json()["run_id"])


async def _reaches(database: asyncpg.Connection[Any], run_id: str, status: str) -> Any:
    async def row() -> Any:
        found = await database.fetchrow("select * from agenthall.runs where run_id = $1", UUID(run_id))
        return found if found["status"] == status else None

    return await until(row)


async def _restart(server: LiveServer) -> None:
    (worker,) = server.workers
    await worker.ended()
    worker.start()


def _children(worker: Process) -> list[psutil.Process]:
    """The processes of runs, which are forked by a child of the worker."""
    return [fork for server in psutil.Process(worker.popen.pid).children() for fork in server.children()]


@pytest.mark.parametrize("how", ["exit", "segfault", "memory"])
async def test_a_run_that_brought_its_worker_down_twice_runs_alone(postgres: str, template: str, how: str) -> None:
    async with _server(postgres, template) as (server, database), server.http() as http:
        early = [await _start(http, "counter", {"until": 60, "delay": 0.1}) for _ in range(2)]
        for run_id in early:
            await _reaches(database, run_id, "running")
        culprit = await _start(http, "crashing", {"how": how})
        await _restart(server)
        await _restart(server)
        late = await _start(http, "counter", {"until": 5, "delay": 0.1})
        assert (await _reaches(database, late, "success"))["attempt"] == 1
        ended = await _reaches(database, culprit, "error")
        assert "the process that it had for itself" in json.loads(ended["error"])["message"]
        assert ended["attempt"] == 3
        for run_id in early:
            assert (await _reaches(database, run_id, "success"))["attempt"] <= 3
        assert server.workers[0].popen.poll() is None


async def _tell(http: httpx.AsyncClient, secret: str) -> list[str]:
    body = {"assistant_id": "remembering", "input": {"secret": secret}}
    answer = (await http.post("/runs/wait", json=body, timeout=120)).raise_for_status().json()
    return list(answer["known"])


async def test_runs_of_one_worker_share_the_globals_of_a_module(postgres: str, template: str) -> None:
    async with _server(postgres, template) as (server, _), server.http() as http:
        assert await _tell(http, "of Ann") == ["of Ann"]
        assert await _tell(http, "of Bob") == ["of Ann", "of Bob"]


async def test_with_isolation_by_run_no_run_sees_the_globals_of_another(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_WORKER_ISOLATION": "run", "AGENTHALL_WORKER_SLOTS": "2"}
    async with _server(postgres, template, **settings) as (server, database), server.http() as http:
        known = await asyncio.gather(*(_tell(http, secret) for secret in ("of Ann", "of Bob", "of Cy")))
        assert known == [["of Ann"], ["of Bob"], ["of Cy"]]
        crashed = await _start(http, "crashing", {"how": "exit"})
        other = await _start(http, "counter", {"until": 3})
        assert (await _reaches(database, other, "success"))["attempt"] == 1
        await _reaches(database, crashed, "error")
        assert server.workers[0].popen.poll() is None


async def test_the_process_of_a_run_ends_with_its_worker(postgres: str, template: str) -> None:
    async with (
        _server(postgres, template, AGENTHALL_WORKER_ISOLATION="run") as (server, database),
        server.http() as http,
    ):
        run_id = await _start(http, "counter", {"until": 1000, "delay": 0.05})
        await _reaches(database, run_id, "running")
        (worker,) = server.workers
        await until(lambda: _children(worker))
        children = psutil.Process(worker.popen.pid).children(recursive=True)
        worker.kill(signal.SIGKILL)
        await worker.ended()
        await until(lambda: not any(each.is_running() and each.status() != "zombie" for each in children))


async def test_a_worker_that_drains_gives_the_runs_of_its_processes_back(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_WORKER_ISOLATION": "run", "AGENTHALL_DRAIN_SECONDS": "0"}
    async with _server(postgres, template, **settings) as (server, database), server.http() as http:
        run_id = await _start(http, "counter", {"until": 1000, "delay": 0.05})

        async def has_begun() -> bool:
            return bool(await database.fetchval("select count(*) from agenthall.run_events"))

        await until(has_begun)
        server.workers[0].kill(signal.SIGTERM)
        await server.workers[0].ended()
        row = await _reaches(database, run_id, "pending")
        assert (row["workers_lost"], row["max_attempts"] - row["attempt"]) == (0, 3)


async def test_with_isolation_by_tenant_each_has_a_process_that_no_other_reaches(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_WORKER_ISOLATION": "tenant", "AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with (
        _server(postgres, template, **settings) as (server, database),
        server.http(**bearer("ann", HARBOUR)) as ann,
        server.http(**bearer("abe", HARBOUR)) as abe,
        server.http(**bearer("mia", MEADOW)) as mia,
        server.http(**bearer("sol")) as sol,
    ):
        first = await asyncio.gather(*(_tell(http, name) for http, name in ((ann, "ann"), (mia, "mia"), (sol, "sol"))))
        assert first == [["ann"], ["mia"], ["sol"]]
        assert await _tell(abe, "abe") in (["ann", "abe"], ["abe"])  # the process may have ended meanwhile
        bystander = await _start(mia, "counter", {"until": 100, "delay": 0.1})
        await _reaches(database, bystander, "running")
        crashed = await _start(ann, "crashing", {"how": "segfault"})
        await _reaches(database, crashed, "error")
        assert (await _reaches(database, bystander, "success"))["attempt"] == 1
        assert server.workers[0].popen.poll() is None


async def test_the_process_of_a_tenant_executes_many_runs_and_ends_when_it_has_none(
    postgres: str, template: str
) -> None:
    async with (
        _server(postgres, template, AGENTHALL_WORKER_ISOLATION="tenant") as (server, database),
        server.http() as http,
    ):
        runs = [await _start(http, "counter", {"until": 3}) for _ in range(40)]
        for run_id in runs:
            assert (await _reaches(database, run_id, "success"))["attempt"] == 1
        (worker,) = server.workers
        assert len(_children(worker)) <= 1
        await until(lambda: not _children(worker))


async def test_runs_go_on_in_new_processes_when_the_process_that_forks_them_was_killed(
    postgres: str, template: str
) -> None:
    async with (
        _server(postgres, template, AGENTHALL_WORKER_ISOLATION="run") as (server, database),
        server.http() as http,
    ):
        interrupted = await _start(http, "counter", {"until": 100, "delay": 0.1})
        await _reaches(database, interrupted, "running")
        (worker,) = server.workers
        (process,) = await until(lambda: _children(worker))
        process.parent().kill()
        assert (await _reaches(database, interrupted, "success"))["attempt"] == 2
        assert worker.popen.poll() is None
