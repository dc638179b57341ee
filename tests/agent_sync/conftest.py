"""One database with the server's schema and the catalogue's tables beside it; every test finds it empty."""

from __future__ import annotations

import asyncpg
import pytest
from agent_sync_surroundings import CLEAR, FORMS, TABLES, VIEW, Catalogue, MemoryStorage, WatchedPool
from databases import fresh_database

from robyn_server.agent_sync import catalogue_view_sql
from robyn_server.files import packaged
from robyn_server.storage.agent_sync_view import AgentSyncView
from robyn_server.storage.database import Role, open_pool
from robyn_server.storage.migrations import migrate
from robyn_server.storage.synced_assistants import PostgresAssistantStorage


@pytest.fixture(scope="session")
async def agent_sync_dsn(postgres):
    async with fresh_database(postgres) as dsn:
        await migrate(dsn, packaged("migrations"))
        connection = await asyncpg.connect(dsn)
        await connection.execute(TABLES.format(assistant_id="text"))
        await connection.execute(catalogue_view_sql(VIEW, write_back=True, role=None))
        await connection.close()
        yield dsn


@pytest.fixture(scope="session")
async def real_pool(agent_sync_dsn):
    async with asyncpg.create_pool(agent_sync_dsn, min_size=1, max_size=10) as pool:
        yield pool


@pytest.fixture(scope="session")
async def system_pool(agent_sync_dsn):
    pool = await open_pool(agent_sync_dsn, Role.SYSTEM, size=10, name="test of agent sync")
    yield pool
    await pool.close()


@pytest.fixture
def form():
    """The form of the catalogue's contract; what has to hold for both is parametrised."""
    return "tables"


@pytest.fixture
async def pool(real_pool, form):
    await real_pool.execute(CLEAR)
    return WatchedPool(real_pool, FORMS[form])


@pytest.fixture
def catalogue(pool, real_pool):
    return Catalogue(real_pool)


@pytest.fixture(params=["memory", "one by one", "bulk"])
def storage(request, system_pool):
    """The protocol's three methods in memory; Postgres, one agent at a time; Postgres, by the page."""
    if request.param == "memory":
        return MemoryStorage()
    return by_path(system_pool, request.param)


@pytest.fixture
def postgres_storage(system_pool):
    return PostgresAssistantStorage(system_pool)


@pytest.fixture(params=["one by one", "bulk"])
def either(request, system_pool):
    """Postgres alone, by both paths of a pass."""
    return by_path(system_pool, request.param)


def by_path(system_pool, path):
    storage = PostgresAssistantStorage(system_pool)
    if path == "one by one":
        storage.bulk = None
    return storage


@pytest.fixture
def view(system_pool):
    return AgentSyncView(system_pool)
