"""Node programs that use the TypeScript client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from bots.scripted_job_server import ScriptedJobServer
from node import build_typescript_client
from node_client import FAST_TIMING, NodeClient, start_node_client
from registry_server import RegistryServer

Start = Callable[..., Awaitable[NodeClient]]


@pytest.fixture(scope="session")
async def node() -> str:
    return await asyncio.to_thread(build_typescript_client)


@pytest.fixture
async def start(node: str, server: RegistryServer) -> AsyncIterator[Start]:
    """Starts a Client, or an AgentInstance when an agent id is given, in a process. Not opened yet."""
    started: list[NodeClient] = []

    async def start(
        agent_id: str | None = None, *, callbacks: Any = None, flags: Any = (), **options: Any
    ) -> NodeClient:
        given = {"url": server.sockets_url, "apiKey": server.key, "timing": FAST_TIMING} | options
        options = {name: value for name, value in given.items() if value is not None}
        kind, first = ("Client", ()) if agent_id is None else ("AgentInstance", (agent_id,))
        started.append(await start_node_client(node, kind, *first, options, callbacks=callbacks, flags=flags))
        return started[-1]

    yield start
    for each in started:
        await each.release()


@pytest.fixture
def opened(start: Start) -> Start:
    """The same, opened."""

    async def start_and_open(*arguments: Any, **options: Any) -> NodeClient:
        client = await start(*arguments, **options)
        await client.call("open")
        return client

    return start_and_open


@pytest.fixture
async def worker(node: str, jobs_server: ScriptedJobServer) -> AsyncIterator[Start]:
    """Starts an AgentInstance with one slot at the scripted server, and opens it."""
    started: list[NodeClient] = []

    async def start(**options: Any) -> NodeClient:
        given = {"url": jobs_server.url, "apiKey": "k", "timing": FAST_TIMING, "slots": 1} | options
        options = {name: value for name, value in given.items() if value is not None}
        started.append(await start_node_client(node, "AgentInstance", "worker", options))
        await started[-1].call("open")
        return started[-1]

    yield start
    for each in started:
        await each.release()
