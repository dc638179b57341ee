"""The registry's engine on a database that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import fresh_database
from leased import Leased, open_leased


@pytest.fixture(scope="module")
async def leased_database(postgres: str, template: str) -> AsyncIterator[Leased]:
    async with fresh_database(postgres, template) as url, open_leased(url) as leased:
        yield leased


@pytest.fixture
async def leased(leased_database: Leased) -> AsyncIterator[Leased]:
    """Empty again after each test."""
    yield leased_database
    await leased_database.empty()
