from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from run_storage import RunStorage, open_run_storage


@pytest.fixture
async def storage(database: str) -> AsyncIterator[RunStorage]:
    async with open_run_storage(database) as storage:
        yield storage
