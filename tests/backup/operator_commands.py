"""A login as operators have it, and the commands as operators run them."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
from databases import database_url
from servers.forked_process import run_agenthall

PASSWORD = "s3cr3t of the/login"


def environment(**settings: str) -> dict[str, str]:
    ours = ("AGENT", "AUTH_", "DATABASE_", "CATALOGUE_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | settings


def agenthall(*arguments: Any, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run_agenthall(*map(str, arguments), env=environment(**settings))


@asynccontextmanager
async def login(admin: str, **attributes: bool) -> AsyncIterator[str]:
    """A login as docs/how-to/deploy.md creates it, with a password, and its URL without a database."""
    name = f"operator_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(admin)
    try:
        await connection.execute(f"create role {name} login password '{PASSWORD}' createrole")
        for role in ("agenthall_app", "agenthall_system"):
            if await connection.fetchval("select exists (select from pg_roles where rolname = $1)", role):
                await connection.execute(f"grant {role} to {name}")
        parts = urlsplit(admin)
        query = f"?{parts.query}" if parts.query else ""
        host = parts.netloc.rpartition("@")[2]
        yield f"postgresql://{name}:{quote(PASSWORD, safe='')}@{host}/postgres{query}"
        await connection.execute(f"drop owned by {name} cascade")
        await connection.execute(f"drop role {name}")
    finally:
        await connection.close()


@asynccontextmanager
async def databases_of(admin: str, url: str, *names: str) -> AsyncIterator[list[str]]:
    """New databases that the login of `url` owns."""
    owner, made = urlsplit(url).username, [f"{name}_{secrets.token_hex(4)}" for name in names]
    connection = await asyncpg.connect(admin)
    try:
        for name in made:
            await connection.execute(f"create database {name} owner {owner}")
        yield [database_url(url, name) for name in made]
    finally:
        for name in made:
            await connection.execute(f"drop database if exists {name} with (force)")
        await connection.close()


@contextmanager
def recording_programs(programs: Path, to: Path) -> Iterator[Path]:
    """A PGBIN whose programs write their arguments to `to` before they work."""
    folder = to / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore", "psql", "postgres", "initdb"):
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $@" >> "{to}/arguments"\nexec "{programs}/{name}" "$@"\n')
        script.chmod(0o755)
    yield folder
