"""Checks of the database: connection, version, encoding, rights and notifications."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.urls.dsn import normalise_dsn, without_password
from robyn_server.files import packaged
from robyn_server.storage.postgres.migrations import GUIDE, read_migrations
from robyn_server.storage.postgres.pooler import detect_pooler
from robyn_server.supervisor.postgres.binaries import MINIMUM_VERSION

CONNECT_SECONDS = 10.0
NOTIFY_SECONDS = 5.0

_PROPERTIES = """
SELECT current_setting('server_version_num')::int AS number,
       current_setting('server_version') AS text,
       current_setting('server_encoding') AS encoding,
       current_user AS role,
       role.rolsuper AS is_superuser,
       role.rolsuper OR role.rolcreaterole AS may_create_roles,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schemas
  FROM pg_catalog.pg_roles AS role
 WHERE role.rolname = current_user
"""

_REASONS: dict[type[Exception], str] = {
    asyncpg.InvalidPasswordError: "the password was refused; check user and password in DATABASE_URL",
    asyncpg.InvalidAuthorizationSpecificationError: "the user was refused; check user and pg_hba.conf",
    asyncpg.InvalidCatalogNameError: "there is no such database; create it, or correct the name in DATABASE_URL",
    asyncpg.ClientConfigurationError: "the URL is invalid; check DATABASE_URL",
    ssl.SSLError: "no secure connection; check sslmode and certificates",
    ConnectionRefusedError: "nothing listens there; check that the database runs, and its host and port",
    FileNotFoundError: "there is no socket; check that the database runs, and its directory",
    TimeoutError: f"no answer within {CONNECT_SECONDS:.0f} seconds; check the host, and firewalls between",
    OSError: "it cannot be reached; check host and port in DATABASE_URL",
}
"""Reasons by class of error: the first listed class of the error's MRO counts."""


@dataclass(frozen=True, slots=True)
class DatabaseProperties:
    """`version` is the major version; `version_text` as the database writes it, such as `18.6`."""

    version: int
    version_text: str
    role: str
    is_superuser: bool
    may_create_roles: bool
    may_create_schemas: bool


async def check_database(dsn: str) -> DatabaseProperties:
    """Check the database at `dsn`, and return its properties.

    Raises Misconfigured, with a reason and a hint and never with the password, if it cannot be reached, refuses the
    user, is too old or does not store UTF-8. Raises Unavailable if it accepts no connections now.
    """
    async with connect(dsn) as connection:
        row = await connection.fetchrow(_PROPERTIES)
        (await detect_pooler(connection, dsn)).ensure_session(dsn)
    return properties_of(row, dsn)


def properties_of(row: asyncpg.Record | None, dsn: str) -> DatabaseProperties:
    """Return the properties in `row`. Raises Misconfigured for an old version and for an encoding that is not UTF-8."""
    if row is None:
        raise Misconfigured(f"the database at {without_password(dsn)} does not know its own user", field="DATABASE_URL")
    if row["number"] // 10000 < MINIMUM_VERSION:
        raise Misconfigured(
            f"the database at {without_password(dsn)} is PostgreSQL {row['text']}; Agenthall needs {MINIMUM_VERSION} or newer",
            field="DATABASE_URL",
        )
    if row["encoding"] != "UTF8":
        raise Misconfigured(
            f"the database at {without_password(dsn)} stores {row['encoding']}; Agenthall needs one that was created with encoding UTF8",
            field="DATABASE_URL",
        )
    return DatabaseProperties(
        version=row["number"] // 10000,
        version_text=row["text"],
        role=row["role"],
        is_superuser=row["is_superuser"],
        may_create_roles=row["may_create_roles"],
        may_create_schemas=row["may_create_schemas"],
    )


async def check_notify(dsn: str) -> None:
    """Send a notification and wait for it.

    Raises Misconfigured if it does not arrive: transaction poolers drop them.
    """
    channel, received = f"agenthall_doctor_{uuid4().hex[:8]}", asyncio.Event()
    async with connect(dsn) as connection:
        await connection.add_listener(channel, lambda *_: received.set())
        await connection.execute("SELECT pg_notify($1, '')", channel)
        try:
            await asyncio.wait_for(received.wait(), NOTIFY_SECONDS)
        except TimeoutError:
            raise Misconfigured(
                "LISTEN receives nothing, because of a pooler; set DATABASE_DIRECT_URL to a direct connection",
                field="DATABASE_DIRECT_URL",
            ) from None


_REGISTRY, _END_OF_CHECK = "registry_tables", "end $$;"
"""The migration that creates the registry. It begins with a block that fails for tables of another program."""


async def check_schema(dsn: str) -> str:
    """Describe the schema of the server. Raises Misconfigured for tables of another program, which stop a migration."""
    migrations = read_migrations(packaged("migrations"))
    registry = next(each for each in migrations if each.name == _REGISTRY)
    async with connect(dsn) as connection:
        is_there = await connection.fetchval("select to_regclass('agenthall.migrations') is not null")
        applied = await connection.fetchval("select max(version) from agenthall.migrations") if is_there else None
        if (applied or 0) < registry.version:
            try:
                await connection.execute(registry.sql.partition(_END_OF_CHECK)[0] + _END_OF_CHECK)
            except asyncpg.DuplicateTableError as error:
                raise Misconfigured(f"{error} See {GUIDE}.", field="DATABASE_URL") from None
    if applied is None:
        return "none yet; the first start makes it"
    missing = len([each for each in migrations if each.version > applied])
    return f"{missing} migrations to apply; the next start applies them" if missing else "up to date"


@asynccontextmanager
async def connect(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open one connection. Raises the errors of `check_database`."""
    connection = await _connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connect_to_catalogue(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open a connection to CATALOGUE_DATABASE_URL, else to `dsn`."""
    url = os.environ.get("CATALOGUE_DATABASE_URL")
    async with connect(normalise_dsn(url) if url else dsn) as connection:
        yield connection


@asynccontextmanager
async def connect_as_system(
    dsn: str, relation: str, what: str
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record] | None]:
    """Open a connection as agenthall_system; None if there is no `relation` yet.

    Raises Misconfigured if `what` cannot be read.
    """
    async with connect(dsn) as connection:
        try:
            is_there = await connection.fetchval("select to_regclass($1) is not null", relation)
            if is_there:
                await connection.execute("set role agenthall_system")
            yield connection if is_there else None
        except asyncpg.PostgresError as error:
            raise Misconfigured(f"{what} cannot be read: {error}", field="DATABASE_URL") from None


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect without prepared statements that outlive a query, because of poolers."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, statement_cache_size=0)
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        raise Unavailable(f"the database at {without_password(dsn)} accepts no connections now: {error}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        raise Misconfigured(
            f"the database at {without_password(dsn)} does not work: {_reason(error)}", field="DATABASE_URL"
        ) from None


def _reason(error: Exception) -> str:
    for kind in type(error).__mro__:
        if kind in _REASONS:
            return _REASONS[kind]
    return f"{type(error).__name__}: {error}"
