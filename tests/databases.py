"""Databases for tests: a PostgreSQL of our own (or the one that AGENTHALL_TEST_DATABASE_URL names), and a fresh database from a template."""

from __future__ import annotations

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
from robyn_server.graphs.checkpoints import set_up
from robyn_server.runtime.embedded_postgres import EmbeddedPostgres
from robyn_server.storage.migrations import migrate

GIVEN = "AGENTHALL_TEST_DATABASE_URL"
PG15 = Path("/usr/lib/postgresql/15/bin")
"""Where the oldest version that is supported is, if it is installed."""


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL on which databases may be made."""
    if url := os.environ.get(GIVEN):
        yield url
        return
    with own_postgres(max_connections="400", fsync="off") as postgres:
        yield postgres.dsn


@contextlib.contextmanager
def own_postgres(environment: Mapping[str, str] = os.environ, **options: str) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that no other test uses, running, in a folder that goes with it; `options` are its settings."""
    folder = Path(tempfile.mkdtemp(prefix="agenthall-test-"))
    postgres = EmbeddedPostgres(folder, options=options, environment=environment)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def in_database(url: str, name: str) -> str:
    """The same server's URL with another database."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


async def make_template(url: str) -> str:
    """A database with the server's whole schema, LangGraph's included; its name."""
    name = f"template_{secrets.token_hex(4)}"
    await _on(url, f"create database {name}")
    await migrate(in_database(url, name), packaged("migrations"))
    await set_up(in_database(url, name))
    return name


@contextlib.asynccontextmanager
async def prepared_database(url: str, template: str, *scripts: str) -> AsyncIterator[str]:
    """As fresh_database, after these scripts of SQL."""
    async with fresh_database(url, template) as made:
        connection = await asyncpg.connect(made)
        for script in scripts:
            await connection.execute(script)
        await connection.close()
        yield made


@contextlib.asynccontextmanager
async def fresh_database(url: str, template: str | None = None) -> AsyncIterator[str]:
    """The URL of a database of one's own; empty without a template."""
    name = f"test_{secrets.token_hex(6)}"
    await _on(url, f"create database {name}" + (f" template {template}" if template else ""))
    try:
        yield in_database(url, name)
    finally:
        await _on(url, f"drop database {name} with (force)")


async def _on(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
