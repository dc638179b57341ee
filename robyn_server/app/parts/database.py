"""Checks and migrations of the database at a start."""

from __future__ import annotations

from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.database import check_database
from robyn_server.files import packaged
from robyn_server.settings import Settings
from robyn_server.storage.postgres.migrations import Migration, migrate
from robyn_server.storage.postgres.pools import open_connection
from robyn_server.storage.store.vectors import use_pgvector


async def prepare_database(settings: Settings) -> list[Migration]:
    """Check the database, and migrate it.

    Return the applied migrations. Raises Misconfigured with the reason and a hint.
    """
    await check_database(settings.direct_dsn)
    applied = await migrate(settings.direct_dsn, packaged("migrations"))
    if settings.store_index is not None:
        await use_pgvector(settings.direct_dsn)
    return applied


async def check_schema(settings: Settings, table: str) -> None:
    """Check the database without migrating it. Raises Misconfigured if `table` does not exist."""
    await check_database(settings.direct_dsn)
    connection = await open_connection(settings.direct_dsn, None, name="agenthall check")
    try:
        if await connection.fetchval("select to_regclass($1)", table) is None:
            raise Misconfigured("the database has no schema of Agenthall yet; run `agenthall migrate`")
    finally:
        await connection.close()
