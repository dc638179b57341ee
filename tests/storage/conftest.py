from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from stored_runs import Store, open_store


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with open_store(database) as store:
        yield store
