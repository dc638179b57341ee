"""A sockets server that the tests of this folder share."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from places import Place, place


@pytest.fixture(scope="session")
async def shared() -> AsyncIterator[Place]:
    async with place() as found:
        yield found


@pytest.fixture
async def here(shared: Place) -> Place:
    """The shared server, as new."""
    shared.registry.known.clear()
    shared.registry.ended.clear()
    shared.registry.hold_up = shared.registry.error = None
    return shared
