"""What Postgres says, in our words: by the constraint's name where there is one, else by the class of the error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from robyn_server.core.errors import AgenthallError, Conflict, Forbidden, Invalid, Unavailable

_BY_CONSTRAINT: dict[str, AgenthallError] = {
    "assistants_pkey": Conflict("Assistant already exists"),
    "threads_pkey": Conflict("Thread already exists"),
    "assistants_json": Invalid("config, context and metadata must be objects"),
    "threads_json": Invalid("metadata and config must be objects", field="metadata"),
    "agent_manifests_agent_id": Invalid(
        "agent_id: must be a meaningful name of 1 to 128 printable characters, in Unicode's form NFC, not a UUID",
        field="agent_id",
    ),
    "agent_configurations_claimed_name": Conflict("Another agent of this organization has this name", field="name"),
    "agent_configurations_configuration": Invalid(
        "configuration: must be a JSON object of at most 64 KiB", field="configuration"
    ),
    "agent_configurations_system_prompt": Invalid("system_prompt: must have at most 256 KiB", field="system_prompt"),
}

_DISABLED = "AH001"
"""SQLSTATE of a registration whose configuration is disabled (migrations/0010)."""

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was lost in the middle of what asyncpg was doing
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
    if isinstance(error, asyncpg.InvalidParameterValueError) and error.column_name:
        return Invalid(str(error), field=error.column_name)  # the registry's functions name what is wrong
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate == _DISABLED:
        return Forbidden("The agent is disabled.", code="configuration_disabled", field="agent_id")
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
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        known = translate(error)
        if known is None:
            raise
        raise known from error
