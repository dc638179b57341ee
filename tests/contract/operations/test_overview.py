"""GET /overview and GET /metrics/history of two web processes and two workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from databases import fresh_database
from servers.live_server import LiveServer, live_server, until

from robyn_server import __version__

GRAFANA = "https://grafana.example.com/d/agenthall"


@pytest.fixture(scope="module")
async def replicas(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, webs=2, workers=2, AGENTHALL_GRAFANA_URL=GRAFANA) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def operator(replicas: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with replicas.http() as client:
        yield client


async def overview(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/overview")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_an_overview_tells_of_the_database_and_of_every_process(operator: httpx.AsyncClient) -> None:
    async def is_complete() -> dict[str, Any] | None:
        found = await overview(operator)
        return found if len(found["replicas"]) == 4 else None

    found = await until(is_complete)
    assert [each["process"] for each in found["replicas"]] == ["web", "web", "worker", "worker"]
    assert {each["version"] for each in found["replicas"]} == {__version__}
    database = found["database"]
    assert database["ok"] and database["size_bytes"] > 1_000_000
    assert 0 < database["connections"]["used"] <= database["connections"]["max"]
    assert int(database["version"].split(".")[0]) >= 15
    assert (found["grafana_url"], found["agent_sync"]["scope"]) == (GRAFANA, "none")
    assert datetime.fromisoformat(found["at"]) - datetime.now(UTC) < timedelta(minutes=1)


async def test_an_overview_counts_runs_and_instances_of_all_organizations(operator: httpx.AsyncClient) -> None:
    thread = (await operator.post("/threads", json={})).json()["thread_id"]
    body = {"assistant_id": "echo", "after_seconds": 600}
    (await operator.post(f"/threads/{thread}/runs", json=body)).raise_for_status()
    header = {"X-Organization-Id": "00000000-0000-0000-0000-000000000007"}
    instance = {"agent_id": "bot", "instance_id": "one"}
    (await operator.post("/agents/instances", json=instance, headers=header)).raise_for_status()
    found = await overview(operator)
    assert found["runs"] == {"pending": 1, "running": 0, "oldest_pending_seconds": 0, "unserved": 0}
    assert found["instances"]["by_state"] in ({"healthy": 1}, {"starting": 1})
    assert found["jobs"] == {"queued": 0, "running": 0}


async def test_open_streams_of_all_web_processes_are_counted(operator: httpx.AsyncClient) -> None:
    body = {"assistant_id": "counter", "input": {"until": 10_000, "delay": 0.05}}
    async with operator.stream("POST", "/runs/stream", json=body):

        async def is_counted() -> bool:
            return bool((await overview(operator))["open_streams"] == 1)

        await until(is_counted)


_END_A_MINUTE_AGO = """
with minute as (select date_trunc('minute', clock_timestamp() - interval '5 s', 'UTC') - interval '1 minute' as at),
empty as (delete from agenthall.metrics_history where ran = '{}'),
moved as (
  update agenthall.run_events e set created_at = m.at + interval '30 s'
    from minute m where e.event = '__end__' and e.created_at not between m.at and m.at + interval '1 minute')
select
"""
"""Move the run's end to the minute that workers record now, as if they had not yet recorded it. So nobody waits for
the end of a minute."""


async def test_workers_record_a_minute_once_it_is_over(replicas: LiveServer, operator: httpx.AsyncClient) -> None:
    assert (await operator.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": 1}})).status_code == 200
    connection = await asyncpg.connect(replicas.database)

    async def has_points() -> Any:
        await connection.execute(_END_A_MINUTE_AGO)
        answer = (await operator.get("/metrics/history")).json()
        return answer if any(point["runs_succeeded"] for point in answer["points"]) else None

    try:
        found = await until(has_points, seconds=180)
    finally:
        await connection.close()
    (point,) = (each for each in found["points"] if each["runs_succeeded"])
    assert (found["window"], found["step_seconds"], point["minutes"]) == ("hour", 60, 1)
    assert point["run_seconds_p50"] <= point["run_seconds_p95"] and point["wait_seconds_p50"] >= 0
    day = (await operator.get("/metrics/history", params={"window": "day"})).json()
    assert (day["step_seconds"], sum(each["runs_succeeded"] for each in day["points"])) == (900, 1)


@pytest.mark.parametrize("query", ["window=week", "window=", "windows=day", "window=day&window=hour"])
async def test_another_window_is_refused_by_its_name(operator: httpx.AsyncClient, query: str) -> None:
    answer = await operator.get(f"/metrics/history?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] in {"window", "windows"}
