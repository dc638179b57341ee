"""A server that gives jobs as the tests tell it, and instances of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from agenthall_client import AgentInstance
from faulty_proxy import WebSocketProxy
from registry_server import FAST_TIMING
from scripted_job_server import ScriptedJobServer, scripted_job_server

Create = Callable[..., AgentInstance]


@pytest.fixture
async def jobs_server() -> AsyncIterator[ScriptedJobServer]:
    async with scripted_job_server() as server:
        yield server


@pytest.fixture
async def jobs_proxy(jobs_server: ScriptedJobServer) -> AsyncIterator[WebSocketProxy]:
    async with WebSocketProxy(jobs_server.port).serving() as proxy:
        yield proxy


@pytest.fixture
def instance(jobs_server: ScriptedJobServer) -> Create:
    """Creates an instance with one slot."""

    def create(agent_id: str = "worker", **options: object) -> AgentInstance:
        defaults = {"url": jobs_server.url, "api_key": "k", "timing": FAST_TIMING, "slots": 1}
        return AgentInstance(agent_id, **{**defaults, **options})

    return create
