"""What every test may use: PostgreSQL, fresh databases, a running server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from databases import fresh_database, make_template, postgres_server
from live_server import LiveServer, live_server
from spread import (
    pytest_collection_modifyitems,
    pytest_configure_node,
    pytest_unconfigure,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
    told,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[str]:
    if url := told(pytestconfig, "postgres"):
        yield url
        return
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
async def template(postgres: str, pytestconfig: pytest.Config) -> str:
    return told(pytestconfig, "template") or await make_template(postgres)


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """A database with the server's schema, for one test."""
    async with fresh_database(postgres, template) as url:
        yield url


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    async with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
async def shared_server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    """One server with web and worker for all tests that leave it as they found it; it serves the graphs of `sample_graphs.py`."""
    async with fresh_database(postgres, template) as url, live_server(url) as server:
        yield server
