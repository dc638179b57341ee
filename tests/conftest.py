"""Fixtures for all tests: PostgreSQL and fresh databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from databases import fresh_database, make_template, postgres_server
from hypothesis import HealthCheck, settings
from markers import pytest_itemcollected
from xdist_scheduling import (
    pytest_collection_modifyitems,
    pytest_configure_node,
    pytest_unconfigure,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
    worker_input,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_itemcollected",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]

# By default an example may take 200 ms, which on a busy machine is the time of a process that waits for its turn.
settings.register_profile("agenthall", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agenthall")


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[str]:
    if url := worker_input(pytestconfig, "postgres"):
        yield url
        return
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
async def template(postgres: str, pytestconfig: pytest.Config) -> str:
    return worker_input(pytestconfig, "template") or await make_template(postgres)


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """A database with the server's schema for one test."""
    async with fresh_database(postgres, template) as url:
        yield url


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    async with fresh_database(postgres) as url:
        yield url
