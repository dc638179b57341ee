"""What Postgres says, in our words: by the constraint's name where there is one, else by the class of the error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from robyn_server.core.errors import AgenthallError, Conflict, Invalid, Unavailable

_BY_CONSTRAINT: dict[str, AgenthallError] = {
    "assistants_pkey": Conflict("Assistant already exists"),
    "threads_pkey": Conflict("Thread already exists"),
    "assistants_json": Invalid("config, context and metadata must be objects"),
    "threads_json": Invalid("metadata and config must be objects", field="metadata"),
}

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
)

_PASSING = (
    asyncpg.TransactionRollbackError,  # deadlocks among them
    asyncpg.InsufficientResourcesError,  # a full disk, no memory
    asyncpg.ReadOnlySQLTransactionError,  # a failover under way
    asyncpg.LockNotAvailableError,
)
"""Says nothing about the statement: the same one may succeed a moment later."""


def translate(error: Exception) -> AgenthallError | None:
    """The error to tell a caller, or None for one that is our own mistake and nobody's business."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        known = _BY_CONSTRAINT.get(error.constraint_name or "")
        return None if known is None else type(known)(known.detail, field=known.field)
    if isinstance(error, asyncpg.UntranslatableCharacterError | asyncpg.CharacterNotInRepertoireError):
        return Invalid("Text must not contain the character NUL (\\u0000)")
    if isinstance(error, _PASSING):
        return Unavailable("The database could not do this now; try again")
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("The database took too long; try again")
    if isinstance(error, _UNREACHABLE):
        return Unavailable("The database cannot be reached; try again")
    return None


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Errors of Postgres leave the block as core errors."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        known = translate(error)
        if known is None:
            raise
        raise known from error
