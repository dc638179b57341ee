from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from live_server import LiveServer, live_server
from outages import LEASE, watching


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """One web, one worker, leases so short that a lost run goes on soon. Each test leaves one of each running."""
    settings = {
        "AGENTHALL_RUN_LEASE": str(LEASE),
        "AGENTHALL_DRAIN_SECONDS": "1",
        "AGENTHALL_RUN_MAX_ATTEMPTS": "20",
        "AGENTHALL_EVENT_TTL": "3600",  # the books are looked at after each test, with the events of all before
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        yield server


@pytest.fixture(autouse=True)
async def books(server: LiveServer) -> AsyncIterator[None]:
    """After each test the tables are as they must be, and one web and one worker are there for the next."""
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
    async with watching(server.database) as watch:
        await watch.check_books()
