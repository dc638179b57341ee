from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from instance_service_driver import InstanceServiceDriver
from registry_database import RegistryDatabase, open_registry

from robyn_server.registry.leases.heartbeats import HeartbeatBatcher
from robyn_server.storage.registry.instances.leases import Leases


@pytest.fixture(scope="module")
async def shared_registry(postgres: str, template: str) -> AsyncIterator[RegistryDatabase]:
    async with fresh_database(postgres, template) as url, open_registry(url, size=24) as registry:
        yield registry


@pytest.fixture
async def registry(shared_registry: RegistryDatabase) -> AsyncIterator[RegistryDatabase]:
    """The module's database, emptied after the test."""
    yield shared_registry
    await shared_registry.owner.execute(
        "delete from mcp.agent_configurations; delete from mcp.agent_manifests; delete from mcp.lease_keepers; "
        "delete from mcp.agent_event_inbox; delete from mcp.agent_events; "
        "update mcp.agent_event_log set lowest = 1, last = 0; "
        "update mcp.lease_pace set interval_seconds = 0, ttl_seconds = 0, live = 0, updated_at = 'infinity'"
    )


@pytest.fixture
async def driver(registry: RegistryDatabase) -> AsyncIterator[InstanceServiceDriver]:
    keeper = HeartbeatBatcher(Leases(registry.system), "test", batch_seconds=0.001)
    keeper.start()
    yield InstanceServiceDriver(registry, keeper)
    await keeper.stop()
