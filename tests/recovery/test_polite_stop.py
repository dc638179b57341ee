"""A web process that is asked to stop tells nobody that half an answer is a whole one."""

from __future__ import annotations

import asyncio
import signal

import pytest
from deadlines import DEADLINE
from servers.live_server import live_server, until

COUNT = {"until": 6, "delay": 0.25}


@pytest.mark.parametrize("grace", ["100", "0.2"], ids=["within the grace", "cut after the grace"])
async def test_a_waiting_client_gets_the_result_although_its_server_stops(database: str, grace: str) -> None:
    async with live_server(database, AGENTHALL_DRAIN_SECONDS=grace) as server:
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        waiting = asyncio.create_task(client.runs.wait(thread, "counter", input=COUNT))
        await until(lambda: _is_running(client, thread))
        server.webs[0].kill(signal.SIGTERM)
        server.add_web()  # as the supervisor would, at the same port
        values = await asyncio.wait_for(waiting, DEADLINE)
        assert values["count"] == 6
        assert await server.webs[0].ended() == 0


async def test_a_stream_that_cannot_be_resumed_may_finish_within_the_grace(database: str) -> None:
    async with live_server(database, AGENTHALL_DRAIN_SECONDS="100") as server:
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        finished_steps = []
        async for part in client.runs.stream(thread, "counter", input=COUNT, stream_mode="values"):
            if part.event == "values":
                finished_steps.append(part.data.get("count"))
            if len(finished_steps) == 2:
                server.webs[0].kill(signal.SIGTERM)
                server.add_web()
        assert finished_steps[-1] == 6


async def _is_running(client: object, thread: str) -> bool:
    runs = await client.runs.list(thread)  # type: ignore[attr-defined]
    return bool(runs) and runs[0]["status"] == "running"
