"""`agenthall restore`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from robyn_server import logs
from robyn_server.backup.archive import Archive, of_server
from robyn_server.backup.load import Load, load
from robyn_server.backup.processes import Progress
from robyn_server.backup.programs import connection_environment, find_client_programs
from robyn_server.core.errors import Conflict
from robyn_server.doctor.database import check_database
from robyn_server.files import packaged
from robyn_server.settings import Settings
from robyn_server.storage.operations import backups
from robyn_server.storage.operations.backups import DatabaseFacts
from robyn_server.storage.postgres.migrations import read_migrations
from robyn_server.storage.postgres.pools import Connection, Role, open_connection

from .migrate import migrate_everything

_NAME = "agenthall restore"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """`migration`: the newest of the backup.

    `applied`: migrations that followed. `settings`: SQL that this login may not execute.
    """

    migration: str
    applied: list[str]
    rows: dict[str, int]
    left_out: list[str]
    settings: list[str]


def run_restore(
    settings: Settings, path: Path, everything: bool, may_replace: bool, progress: Progress
) -> RestoreReport:
    """Restore the server's schemas; `everything`: all that the archive has, into the embedded database. `may_replace`:
    drop what is there.

    Raises Misconfigured (no archive), Conflict (a newer build's, a database that is not empty or in use), and
    Unavailable (psql's reason).
    """
    from robyn_server.graphs.checkpoints.saver import newest_version

    logs.configure(settings)
    facts = asyncio.run(_describe(settings))
    programs = find_client_programs(facts)
    archive = Archive(path, programs)
    newest = archive.check_versions(read_migrations(packaged("migrations")), newest_version())
    schemas = archive.schemas if everything else of_server(archive)
    replaced = asyncio.run(_check_target(settings, schemas, may_replace=may_replace))
    work = Load(archive, archive.selected(None if everything else schemas), replaced, facts.major)
    load(work, programs, connection_environment(settings.direct_dsn, facts), progress)
    report = RestoreReport(newest, [], {}, [each for each in archive.schemas if each not in schemas], [])
    return asyncio.run(_finish(settings, archive, schemas, report))


async def _describe(settings: Settings) -> DatabaseFacts:
    await check_database(settings.direct_dsn)
    connection = await open_connection(settings.direct_dsn, None, name=_NAME)
    try:
        return await backups.describe(connection, ())
    finally:
        await connection.close()


async def _check_target(settings: Settings, schemas: list[str], *, may_replace: bool) -> list[str]:
    """Return the schemas to drop. Raises Conflict if the database is in use or not empty."""
    connection = await open_connection(settings.direct_dsn, None, name=_NAME)
    try:
        if sessions := await backups.count_sessions(connection):
            raise Conflict(f"a server works on this database ({sessions} connections); stop it before a restore")
        occupied = await backups.occupied_schemas(connection, schemas)
        if occupied and not may_replace:
            raise Conflict(
                f"the database is not empty: it has {_named(occupied)}; restore into a new database, or replace these with --replace"
            )
        if dependents := await backups.dependent_objects(connection, occupied):
            raise Conflict(
                f"objects outside of {_named(occupied)} need them and would be dropped, too: {'; '.join(dependents)}."
                " Drop these first, and create them again afterwards."
            )
        return occupied
    finally:
        await connection.close()


def _named(schemas: list[str]) -> str:
    return ("schema " if len(schemas) == 1 else "schemas ") + ", ".join(schemas)


async def _finish(settings: Settings, archive: Archive, schemas: list[str], report: RestoreReport) -> RestoreReport:
    """Migrate to this build, collect statistics, and set the database's settings."""
    applied = await migrate_everything(settings)
    connection = await open_connection(settings.direct_dsn, None, name=_NAME)
    try:
        await backups.analyze(connection, await backups.tables(connection, schemas))
        refused = await _apply_settings(connection, archive.settings())
    finally:
        await connection.close()
    system = await open_connection(settings.direct_dsn, Role.SYSTEM, name=_NAME)
    try:
        rows = await backups.count_rows(system)
    finally:
        await system.close()
    return replace(report, applied=applied, rows=rows, settings=refused)


async def _apply_settings(connection: Connection, found: list[tuple[str, str]]) -> list[str]:
    """Apply the settings of the database that was saved. Return the statements that this login may not execute."""
    refused = []
    database = await connection.fetchval("select quote_ident(current_database())")
    for name, value in found:
        statement = f"alter database {database} set {name} to {value}"
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            refused.append(statement)
    return refused
