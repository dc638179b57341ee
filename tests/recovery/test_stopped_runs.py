"""Runs that are cancelled, interrupted or rolled back: on any replica at once, and when their worker dies just then."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from databases import fresh_database
from langgraph_sdk.client import LangGraphClient
from run_observer import observe_database
from servers.live_server import LiveServer, live_server, until

ENDLESS: dict[str, Any] = {
    "input": {"until": 5000, "delay": 0.02},
    "config": {"recursion_limit": 9999},
    "durability": "sync",
}
QUICK = 1.0
"""Seconds within which most cancellations take effect. Without a notification they would take a third of a lease."""


async def _under_way(client: LangGraphClient) -> tuple[str, str]:
    """The thread and the id of a run that has made its first steps."""
    thread = (await client.threads.create())["thread_id"]
    run_id = (await client.runs.create(thread, "counter", **ENDLESS))["run_id"]

    async def counts() -> bool:
        values: Any = (await client.threads.get_state(thread))["values"]
        return bool(values.get("count"))

    await until(counts)
    return thread, run_id


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
async def test_the_outcome_is_the_same_when_the_worker_of_the_stopped_run_dies(
    server: LiveServer, strategy: Any, fate: signal.Signals
) -> None:
    client = server.sdk()
    thread, stopped = await _under_way(client)
    victim = server.workers[0]
    victim.kill(fate)
    run = await client.runs.create(thread, "echo", input={"text": "next"}, multitask_strategy=strategy)
    server.add_worker()
    assert await client.runs.join(thread, run["run_id"]) == {"text": "next"}
    victim.kill(signal.SIGCONT)
    rows = {each["run_id"]: each["status"] for each in await client.runs.list(thread)}
    kept = {stopped: "interrupted"} if strategy == "interrupt" else {}
    assert rows == kept | {run["run_id"]: "success"}
    if fate == signal.SIGSTOP:
        await until(lambda: "run dropped" in victim.read_log())
    async with observe_database(server.database) as observer:
        written = "select distinct metadata ->> 'run_id' as run_id from langgraph.checkpoints where thread_id = $1"
        assert {each["run_id"] for each in await observer.rows(written, thread)} == rows.keys()


async def test_a_rollback_reaches_a_run_that_was_given_back(server: LiveServer) -> None:
    """It has checkpoints, and no worker."""
    client = server.sdk()
    thread, run_id = await _under_way(client)
    (draining,) = server.workers
    draining.kill(signal.SIGTERM)
    await draining.ended()
    assert (await client.runs.get(thread, run_id))["status"] == "pending"
    await client.runs.cancel(thread, run_id, action="rollback")
    assert await client.runs.list(thread) == []
    assert await client.threads.get_history(thread) == []
    async with observe_database(server.database) as observer:
        for table in ("checkpoints", "checkpoint_writes", "checkpoint_blobs"):
            left = await observer.value(f"select count(*) from langgraph.{table} where thread_id = $1", thread)
            assert left == 0, table


async def test_a_cancellation_takes_effect_at_once_on_every_replica(postgres: str, template: str) -> None:
    settings = {"AGENTHALL_RUN_LEASE": "3600", "AGENTHALL_WORKER_SLOTS": "4"}
    async with (
        fresh_database(postgres, template) as url,
        live_server(url, webs=2, workers=2, **settings) as server,
        observe_database(url) as observer,
    ):
        client = server.sdk()
        runs = [await _under_way(client) for _ in range(8)]
        workers = await observer.value("select count(distinct worker_id) from agenthall.runs")
        assert workers == 2
        seconds = []
        for number, (thread, run_id) in enumerate(runs):
            began = time.monotonic()
            action: Any = ("interrupt", "rollback")[number % 2]
            await client.runs.cancel(thread, run_id, wait=True, action=action)
            seconds.append(time.monotonic() - began)
        assert sorted(seconds)[3] < QUICK, seconds
