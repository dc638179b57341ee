"""Applies migrations: plain SQL files `NNNN_name.sql`, forward only, applied once and never edited afterwards.

Rules
  1. Each migration runs in a transaction of its own, which first polls `pg_try_advisory_xact_lock`. So any number of
     replicas may start at once, a killed one leaves nothing behind, and a transaction pooler is allowed.
  2. Each start compares the checksums of all applied files. An edited file and a database newer than this build are
     refused.
  3. Processes of the old build may be running. A migration waits at most LOCK_WAIT for each lock, and starts again
     until it gets all of them. PostgreSQL looks for deadlocks after 1 s (`deadlock_timeout`), so the migration gives
     way, and not a request. What queues behind its locks waits no longer than that.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from robyn_server.concurrency.periodic import backoff
from robyn_server.core.errors import Misconfigured, Unavailable

from .errors import translated

LOCK = 0x6167656E74  # "agent"
"""Key of the advisory lock that a transaction with migrations holds."""

LOCK_WAIT = 0.4
"""Seconds."""

_PATIENCE = 300.0
"""Seconds for which a migration is repeated that does not get its locks."""

GUIDE = "docs/how-to/migrate-an-old-registry.md"
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_LEDGER = """
create schema if not exists agenthall;
create table if not exists agenthall.migrations (
  version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now());
"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"


def read_migrations(folder: Path) -> list[Migration]:
    """Read the migrations in `folder`, in order. Raises Misconfigured for a bad file name or a gap."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise Misconfigured(f"migrations/{path.name} is not named NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8").replace("\r\n", "\n")))
    if [each.version for each in found] != list(range(1, len(found) + 1)) or not found:
        raise Misconfigured(f"The migrations in {folder} are not numbered 0001, 0002, … without a gap")
    return found


async def migrate(dsn: str, folder: Path, *, patience: float = _PATIENCE) -> list[Migration]:
    """Bring the database to this build's schema and return the migrations that were applied.

    Raises Misconfigured for an edited file, a newer database or missing rights, and Unavailable if other sessions hold
    locks for longer than `patience` seconds.
    """
    migrations = read_migrations(folder)
    applied: list[Migration] = []
    async with translated(), _permitted():
        connection = await asyncpg.connect(dsn, statement_cache_size=0, timeout=10)
        try:
            if await _is_current(connection, migrations):
                return applied
            while (step := await _apply_next(connection, migrations, patience)) is not None:
                applied.append(step)
        finally:
            await connection.close()
    if applied:
        _log.info("database migrated", migrations=len(applied), to=str(applied[-1]))
    return applied


@asynccontextmanager
async def _permitted(what: str = "The migration of the database") -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"{what} is not permitted to this database user: {error}. The user needs CREATE on the database and "
            "CREATEROLE, or membership of the roles agenthall_app and agenthall_system where they exist already.",
            field="DATABASE_URL",
        ) from error


async def _is_current(connection: asyncpg.Connection[Any], migrations: list[Migration]) -> bool:
    if await connection.fetchval("select to_regclass('agenthall.migrations')") is None:
        return False
    return await _next(connection, migrations) is None


async def _apply_next(
    connection: asyncpg.Connection[Any], migrations: list[Migration], patience: float
) -> Migration | None:
    deadline = time.monotonic() + patience
    failures = 0
    while True:
        try:
            return await _try_next(connection, migrations)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            failures += 1
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"A migration did not get its locks within {patience:g} s: {error}. End long transactions, such as"
                    " backups, which pg_stat_activity shows, and start again."
                ) from error
            _log.warning("migration waits for a lock", attempt=failures, error=str(error))
        await asyncio.sleep(backoff(failures, LOCK_WAIT, longest=5.0))


async def _try_next(connection: asyncpg.Connection[Any], migrations: list[Migration]) -> Migration | None:
    async with connection.transaction():
        while not await connection.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
            await asyncio.sleep(0.05)
        await connection.execute(f"set local lock_timeout = {round(LOCK_WAIT * 1000)}")
        await connection.execute(_LEDGER)
        step = await _next(connection, migrations)
        if step is not None:
            await _apply(connection, step)
        return step


async def _apply(connection: asyncpg.Connection[Any], step: Migration) -> None:
    async with _permitted(f"Migration {step}"):
        try:
            await connection.execute(step.sql)
        except asyncpg.DuplicateTableError as error:
            # A migration raises it for tables of another program, and says which.
            raise Misconfigured(f"{error} See {GUIDE}.", field="DATABASE_URL") from None
    await connection.execute(
        "insert into agenthall.migrations (version, name, checksum) values ($1, $2, $3)",
        step.version,
        step.name,
        step.checksum,
    )


async def _next(connection: asyncpg.Connection[Any], migrations: list[Migration]) -> Migration | None:
    rows = await connection.fetch("select version, checksum from agenthall.migrations")
    applied = {row["version"]: row["checksum"] for row in rows}
    if newer := sorted(set(applied) - {each.version for each in migrations}):
        raise Misconfigured(
            f"The database is newer than this build: it has the migrations {newer}", field="DATABASE_URL"
        )
    for each in migrations:
        if each.version not in applied:
            return each
        if applied[each.version] != each.checksum:
            raise Misconfigured(f"Migration {each} was edited after it was applied to this database")
    return None
