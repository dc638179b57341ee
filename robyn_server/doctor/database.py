"""The database: can it be reached, is it new enough, what may we do there, and does it pass on what we say?"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from robyn_server.core.dsn import normalise_dsn, without_password
from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.runtime.postgres_binaries import OLDEST
from robyn_server.storage.pooling import pooling_of

CONNECT_SECONDS = 10.0
NOTIFY_SECONDS = 5.0

_FACTS = """
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
    asyncpg.ClientConfigurationError: "the URL is not understood; check DATABASE_URL",
    ssl.SSLError: "no secure connection; check sslmode and certificates",
    ConnectionRefusedError: "nothing listens there; is the database running, are host and port right?",
    FileNotFoundError: "there is no socket; is the database running, is the directory right?",
    TimeoutError: f"no answer within {CONNECT_SECONDS:.0f} seconds; is the host right, does a firewall stand between?",
    OSError: "it cannot be reached; check host and port in DATABASE_URL",
}
"""By the first class in an error's MRO that is listed."""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`version` is the major version; `version_text` as the database writes it, such as `18.6`."""

    version: int
    version_text: str
    role: str
    is_superuser: bool
    may_create_roles: bool
    may_create_schemas: bool


async def check_database(dsn: str) -> DatabaseFacts:
    """What the server needs to know of the database at `dsn`.

    Raises Misconfigured when it cannot be reached, refuses us, is too old or does not store UTF-8: with the reason and a hint, never
    with the password. Raises Unavailable when it is there but takes nobody in just now.
    """
    async with connected(dsn) as connection:
        row = await connection.fetchrow(_FACTS)
        (await pooling_of(connection, dsn)).ensure_session(dsn)
    return facts_of(row, dsn)


def facts_of(row: asyncpg.Record | None, dsn: str) -> DatabaseFacts:
    """Raises Misconfigured for a version that is too old, and for an encoding that cannot hold what people write."""
    if row is None:
        raise Misconfigured(f"the database at {without_password(dsn)} does not know its own user", field="DATABASE_URL")
    if row["number"] // 10000 < OLDEST:
        raise Misconfigured(
            f"the database at {without_password(dsn)} is PostgreSQL {row['text']}; Agenthall needs {OLDEST} or newer",
            field="DATABASE_URL",
        )
    if row["encoding"] != "UTF8":
        raise Misconfigured(
            f"the database at {without_password(dsn)} stores {row['encoding']}; Agenthall needs one that was created with encoding UTF8",
            field="DATABASE_URL",
        )
    return DatabaseFacts(
        version=row["number"] // 10000,
        version_text=row["text"],
        role=row["role"],
        is_superuser=row["is_superuser"],
        may_create_roles=row["may_create_roles"],
        may_create_schemas=row["may_create_schemas"],
    )


async def check_notify(dsn: str) -> None:
    """Raises Misconfigured when a notification does not come back: a transaction pooler swallows them."""
    channel, received = f"agenthall_doctor_{uuid4().hex[:8]}", asyncio.Event()
    async with connected(dsn) as connection:
        await connection.add_listener(channel, lambda *_: received.set())
        await connection.execute("SELECT pg_notify($1, '')", channel)
        try:
            await asyncio.wait_for(received.wait(), NOTIFY_SECONDS)
        except TimeoutError:
            raise Misconfigured(
                "LISTEN receives nothing: a pooler stands between; set DATABASE_DIRECT_URL to a direct connection",
                field="DATABASE_DIRECT_URL",
            ) from None


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """One connection. Raises as `check_database` does."""
    connection = await _connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connected_to_catalogue(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Where CATALOGUE_DATABASE_URL says, else at `dsn`."""
    url = os.environ.get("CATALOGUE_DATABASE_URL")
    async with connected(normalise_dsn(url) if url else dsn) as connection:
        yield connection


@asynccontextmanager
async def connected_as_system(
    dsn: str, relation: str, what: str
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record] | None]:
    """As agenthall_system; None while there is no `relation` yet. Raises Misconfigured that `what` cannot be read."""
    async with connected(dsn) as connection:
        try:
            is_there = await connection.fetchval("select to_regclass($1) is not null", relation)
            if is_there:
                await connection.execute("set role agenthall_system")
            yield connection if is_there else None
        except asyncpg.PostgresError as error:
            raise Misconfigured(f"{what} cannot be read: {error}", field="DATABASE_URL") from None


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """One connection, without prepared statements that outlive a query: a pooler may stand between."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, statement_cache_size=0)
    except (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
        raise Unavailable(f"the database at {without_password(dsn)} takes no connections now: {error}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        raise Misconfigured(
            f"the database at {without_password(dsn)} does not work: {_reason(error)}", field="DATABASE_URL"
        ) from None


def _reason(error: Exception) -> str:
    for kind in type(error).__mro__:
        if kind in _REASONS:
            return _REASONS[kind]
    return f"{type(error).__name__}: {error}"
