"""Facts of a database that a backup or a restore needs. Works as the login itself, because a dump does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robyn_server.storage.postgres.pools import Connection
from robyn_server.storage.postgres.queries import load

_SQL = load("operations/backups")

ANALYZE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`uses_tls`: of the connection that asked. `has_row_security`: policies apply to this login."""

    major: int
    version: str
    login: str
    uses_tls: bool
    has_row_security: bool


async def describe(connection: Connection, schemas: Sequence[str]) -> DatabaseFacts:
    row: Any = await connection.fetchrow(*_SQL["describe"].bind(schemas=schemas))
    return DatabaseFacts(**dict(row))


async def tables(connection: Connection, schemas: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return (schema, name) of the tables in `schemas`. None: in all but the system's."""
    rows = await connection.fetch(*_SQL["tables"].bind(schemas=schemas))
    return [(row["schema"], row["name"]) for row in rows]


async def hidden_tables(connection: Connection, schemas: Sequence[str]) -> list[str]:
    """Return the tables of which this login may not see all rows."""
    return [row[0] for row in await connection.fetch(*_SQL["hidden_tables"].bind(schemas=schemas))]


async def occupied_schemas(connection: Connection, schemas: Sequence[str]) -> list[str]:
    return [row[0] for row in await connection.fetch(*_SQL["occupied_schemas"].bind(schemas=schemas))]


async def dependent_objects(connection: Connection, schemas: Sequence[str]) -> list[str]:
    """Describe the objects elsewhere that would be dropped with `schemas`."""
    return [row[0] for row in await connection.fetch(*_SQL["dependent_objects"].bind(schemas=schemas))]


async def count_sessions(connection: Connection) -> int:
    """Count the connections of a server to this database."""
    return int(await connection.fetchval(*_SQL["count_sessions"].bind()))


async def count_rows(connection: Connection) -> dict[str, int]:
    """Count what users know by name. The connection sees every row."""
    row: Any = await connection.fetchrow(*_SQL["count_rows"].bind())
    return dict(row)


async def analyze(connection: Connection, found: Sequence[tuple[str, str]]) -> None:
    """Collect the planner's statistics, which a dump does not have."""
    for schema, name in found:
        await connection.execute(f"analyze {quoted(schema)}.{quoted(name)}", timeout=ANALYZE_SECONDS)


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'
