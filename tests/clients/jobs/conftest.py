"""A server with a worker, and instances of the scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from agenthall_client import AgentInstance
from bots.scripted_job_server import ScriptedJobServer
from registry_server import FAST_TIMING, RegistryServer, registry_server

Create = Callable[..., AgentInstance]


@pytest.fixture(scope="module")
async def server(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RegistryServer]:
    """Its worker sweeps jobs, and gives runs to instances."""
    log = tmp_path_factory.mktemp("sockets") / "sockets.log"
    async with registry_server(postgres, template, log, workers=1) as server:
        yield server


@pytest.fixture
def instance(jobs_server: ScriptedJobServer) -> Create:
    """Creates an instance with one slot."""

    def create(agent_id: str = "worker", **options: object) -> AgentInstance:
        defaults = {"url": jobs_server.url, "api_key": "k", "timing": FAST_TIMING, "slots": 1}
        return AgentInstance(agent_id, **{**defaults, **options})

    return create
