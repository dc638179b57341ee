"""`agenthall backup`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from robyn_server import logs
from robyn_server.app.parts.database import check_schema
from robyn_server.backup import SCHEMAS
from robyn_server.backup.archive import Archive
from robyn_server.backup.dump import WITHOUT_ROWS, Target, write_dump
from robyn_server.backup.processes import Progress
from robyn_server.backup.programs import connection_environment, find_client_programs
from robyn_server.core.errors import Misconfigured
from robyn_server.files import packaged
from robyn_server.settings import Settings
from robyn_server.storage.operations import backups
from robyn_server.storage.operations.backups import DatabaseFacts
from robyn_server.storage.postgres.migrations import read_migrations
from robyn_server.storage.postgres.pools import open_connection


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Facts of a backup. `migration`: the newest of the database. `is_newer`: this build could not restore it."""

    tables: int
    migration: str
    postgres: str
    is_newer: bool


def run_backup(settings: Settings, target: Target, everything: bool, progress: Progress) -> BackupReport:
    """Save the server's schemas; `everything`: the whole database, which is the embedded one.

    Raises Misconfigured, Conflict (something exists there), Unavailable (pg_dump's reason).
    """
    logs.configure(settings)
    target.check()
    facts, tables = asyncio.run(_inspect(settings, everything=everything))
    programs = find_client_programs(facts)
    progress.expect(tables)
    write_dump(
        target,
        programs,
        connection_environment(settings.direct_dsn, facts),
        progress,
        everything=everything,
        with_row_security=facts.has_row_security,
    )
    archive = Archive(target.path, programs)  # reading it back proves that pg_restore can
    is_newer = bool(archive.newer_migrations(read_migrations(packaged("migrations"))))
    return BackupReport(tables, max(archive.migrations), facts.version, is_newer)


async def _inspect(settings: Settings, *, everything: bool) -> tuple[DatabaseFacts, int]:
    await check_schema(settings, "agenthall.migrations")
    connection = await open_connection(settings.direct_dsn, None, name="agenthall backup")
    try:
        facts = await backups.describe(connection, SCHEMAS)
        if hidden := await backups.hidden_tables(connection, SCHEMAS):
            raise Misconfigured(
                f"row-level security hides rows of {', '.join(hidden)} from the login {facts.login}, so a backup would be incomplete;"
                f" run `grant agenthall_system to {facts.login}`, or use a login with BYPASSRLS",
                field="DATABASE_URL",
            )
        tables = await backups.tables(connection, None if everything else SCHEMAS)
        return facts, len(set(tables) - WITHOUT_ROWS)
    finally:
        await connection.close()
