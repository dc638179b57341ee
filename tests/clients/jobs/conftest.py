"""Instances of the scripted server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from agenthall_client import AgentInstance
from registry_server import FAST_TIMING
from scripted_job_server import ScriptedJobServer

Create = Callable[..., AgentInstance]


@pytest.fixture
def instance(jobs_server: ScriptedJobServer) -> Create:
    """Creates an instance with one slot."""

    def create(agent_id: str = "worker", **options: object) -> AgentInstance:
        defaults = {"url": jobs_server.url, "api_key": "k", "timing": FAST_TIMING, "slots": 1}
        return AgentInstance(agent_id, **{**defaults, **options})

    return create
