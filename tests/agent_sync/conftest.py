"""A database with the server's schema and a catalogue's tables. It is empty at the start of each test."""

from __future__ import annotations

import asyncpg
import pytest
from catalogues.catalogue_tables import CLEAR_TABLES, SOURCES, TABLES, VIEW, CatalogueEditor
from catalogues.sync_storage import MemoryStorage, RecordingPool, SingleAgentStore
from databases import fresh_database

from robyn_server.agent_sync import catalogue_view_sql
from robyn_server.files import packaged
from robyn_server.storage.agent_sync.sync_store import PostgresSyncStore
from robyn_server.storage.agent_sync.view import AgentSyncView
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.postgres.pools import Role, open_pool


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
    """The form of the catalogue. Tests that apply to both forms override it."""
    return "tables"


@pytest.fixture
async def pool(real_pool, form):
    await real_pool.execute(CLEAR_TABLES)
    return RecordingPool(real_pool, SOURCES[form])


@pytest.fixture
def catalogue(pool, real_pool):
    return CatalogueEditor(real_pool)


@pytest.fixture(params=["memory", "one by one", "bulk"])
def storage(request, system_pool):
    """In memory with the protocol's three methods; in Postgres by single agents; in Postgres by pages."""
    if request.param == "memory":
        return MemoryStorage()
    return by_path(system_pool, request.param)


@pytest.fixture(params=["memory", "one by one"])
def one_by_one(request, system_pool):
    """A storage that syncs the agents of a page one by one."""
    return MemoryStorage() if request.param == "memory" else SingleAgentStore(system_pool)


@pytest.fixture
def postgres_storage(system_pool):
    return PostgresSyncStore(system_pool)


@pytest.fixture(params=["one by one", "bulk"])
def either(request, system_pool):
    """Postgres with both paths of a pass."""
    return by_path(system_pool, request.param)


def by_path(system_pool, path):
    return SingleAgentStore(system_pool) if path == "one by one" else PostgresSyncStore(system_pool)


@pytest.fixture
def view(system_pool):
    return AgentSyncView(system_pool)
