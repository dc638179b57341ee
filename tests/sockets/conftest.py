"""A sockets server that the tests of this directory share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from servers.local_socket_server import LocalSocketServer, local_socket_server


@pytest.fixture(scope="session")
async def shared_sockets() -> AsyncIterator[LocalSocketServer]:
    async with local_socket_server() as found:
        yield found


@pytest.fixture
async def server(shared_sockets: LocalSocketServer) -> LocalSocketServer:
    """The shared server with an empty registry."""
    shared_sockets.registry.instances.clear()
    shared_sockets.registry.ended.clear()
    shared_sockets.registry.blocked = shared_sockets.registry.error = None
    shared_sockets.jobs.reset()
    return shared_sockets
