"""Databases for tests, on an embedded PostgreSQL or on the one that AGENTHALL_TEST_DATABASE_URL names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from robyn_server.files import packaged
from robyn_server.graphs.checkpoints.saver import set_up
from robyn_server.storage.postgres.migrations import migrate
from robyn_server.storage.postgres.pools import Pool, Role, open_pool
from robyn_server.supervisor.postgres.server import EmbeddedPostgres

DATABASE_VARIABLE = "AGENTHALL_TEST_DATABASE_URL"
PG15 = Path("/usr/lib/postgresql/15/bin")
"""Programs of the oldest supported version, if installed."""


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL with the right to create databases.

    Without autovacuum, which analyzes tables at any moment: what a statement reads would depend on it.
    """
    if url := os.environ.get(DATABASE_VARIABLE):
        yield url
        return
    with private_postgres(max_connections="800", fsync="off", autovacuum="off") as postgres:
        yield postgres.dsn


@contextlib.contextmanager
def private_postgres(environment: Mapping[str, str] = os.environ, **options: str) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL for one test, in a temporary directory. `options`: its settings."""
    directory = Path(tempfile.mkdtemp(prefix="agenthall-test-"))
    postgres = EmbeddedPostgres(directory, options=options, environment=environment)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def restart_postgres(postgres: EmbeddedPostgres, number: int) -> None:
    """End PostgreSQL with a signal, and start it again."""
    assert postgres.pid is not None
    os.kill(postgres.pid, number)
    while postgres.poll() is None:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(postgres._start_server)


def database_url(url: str, name: str) -> str:
    """Replace the database in a URL."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


async def make_template(url: str) -> str:
    """Create a database with the server's schema and LangGraph's. Returns its name."""
    name = f"template_{secrets.token_hex(4)}"
    await _execute(url, f"create database {name}")
    await migrate(database_url(url, name), packaged("migrations"))
    await set_up(database_url(url, name))
    return name


@contextlib.asynccontextmanager
async def prepared_database(url: str, template: str, *scripts: str) -> AsyncIterator[str]:
    """A fresh database in which these SQL scripts have run."""
    async with fresh_database(url, template) as made:
        connection = await asyncpg.connect(made)
        for script in scripts:
            await connection.execute(script)
        await connection.close()
        yield made


@contextlib.asynccontextmanager
async def fresh_database(url: str, template: str | None = None) -> AsyncIterator[str]:
    """The URL of a new database, which is dropped at the end. Empty without a template."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(url, f"create database {name}" + (f" template {template}" if template else ""))
    try:
        yield database_url(url, name)
    finally:
        await _execute(url, f"drop database {name} with (force)")


@contextlib.asynccontextmanager
async def open_pools(url: str, *, size: int = 4) -> AsyncIterator[tuple[Pool, Pool, Pool]]:
    """Open a pool as agenthall_app, one as agenthall_system, and one as the login itself."""
    async with contextlib.AsyncExitStack() as stack:
        pools = []
        for role in (Role.APP, Role.SYSTEM, None):
            pools.append(await open_pool(url, role, size=size, name="tests"))
            stack.push_async_callback(pools[-1].close)
        app, system, login = pools
        yield app, system, login


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
