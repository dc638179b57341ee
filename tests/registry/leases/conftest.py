"""A registry database that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from lease_database import LeaseDatabase, open_lease_database


@pytest.fixture(scope="module")
async def module_lease_db(postgres: str, template: str) -> AsyncIterator[LeaseDatabase]:
    async with fresh_database(postgres, template) as url, open_lease_database(url) as lease_db:
        yield lease_db


@pytest.fixture
async def lease_db(module_lease_db: LeaseDatabase) -> AsyncIterator[LeaseDatabase]:
    """The shared database, emptied after each test."""
    yield module_lease_db
    await module_lease_db.clear()
