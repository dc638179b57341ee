from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from instance_desk import Desk
from registry_sql import Registry, open_registry

from robyn_server.runtime.lease_keeper import LeaseKeeper
from robyn_server.storage.leases import Leases


@pytest.fixture(scope="module")
async def shared_registry(postgres: str, template: str) -> AsyncIterator[Registry]:
    async with fresh_database(postgres, template) as url, open_registry(url, size=24) as registry:
        yield registry


@pytest.fixture
async def registry(shared_registry: Registry) -> AsyncIterator[Registry]:
    """The module's database, emptied again after the test."""
    yield shared_registry
    await shared_registry.owner.execute(
        "delete from mcp.agent_configurations; delete from mcp.agent_manifests; delete from mcp.lease_keepers; "
        "delete from mcp.agent_event_inbox; delete from mcp.agent_events; "
        "update mcp.agent_event_log set lowest = 1, last = 0; "
        "update mcp.lease_pace set interval_seconds = 0, ttl_seconds = 0, live = 0, updated_at = 'infinity'"
    )


@pytest.fixture
async def desk(registry: Registry) -> AsyncIterator[Desk]:
    keeper = LeaseKeeper(Leases(registry.system), "test", gather_seconds=0.001)
    keeper.start()
    yield Desk(registry, keeper)
    await keeper.stop()
