from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from run_observer import LEASE, observe_database
from servers.live_server import LiveServer, live_server


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """A server with one web and one worker, and with short leases. Each test leaves one of each running."""
    settings = {
        "AGENTHALL_RUN_LEASE": str(LEASE),
        "AGENTHALL_DRAIN_SECONDS": "3",
        "AGENTHALL_RUN_MAX_ATTEMPTS": "20",
        "AGENTHALL_EVENT_TTL": "3600",  # the check after each test covers the events of all earlier tests
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server


@pytest.fixture(autouse=True)
async def check_invariants(server: LiveServer) -> AsyncIterator[None]:
    """After each test, check the tables and leave one web and one worker for the next."""
    yield
    for kind, add in ((server.webs, server.add_web), (server.workers, server.add_worker)):
        alive = [each for each in kind if each.popen.poll() is None]
        for each in alive[1:]:
            each.kill()
            await each.ended()
        kind[:] = alive[:1]
        if not kind:
            add()
    await server.ready()
    async with observe_database(server.database) as observer:
        await observer.check_invariants()
