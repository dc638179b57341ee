"""Turns errors of PostgreSQL into core errors: by the name of a violated constraint, else by the error's class."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from robyn_server.core.errors import AgenthallError, Conflict, Forbidden, Invalid, TooLarge, TooMany, Unavailable

_BY_CONSTRAINT: dict[str, AgenthallError] = {
    "assistants_pkey": Conflict("Assistant already exists"),
    "threads_pkey": Conflict("Thread already exists"),
    "assistants_json": Invalid("config, context and metadata must be objects"),
    "threads_json": Invalid("metadata and config must be objects", field="metadata"),
    "agent_manifests_agent_id": Invalid(
        "agent_id: must be a meaningful name of 1 to 128 printable characters, in Unicode's form NFC, not a UUID",
        field="agent_id",
    ),
    "agent_manifests_state_schema": Invalid("state_schema: must have at most 64 KiB", field="state_schema"),
    "agent_configurations_manifest_id_fkey": Conflict(
        "The manifest is in use: an organization has a configuration of this agent.",
        code="manifest_in_use",
        field="agent_id",
    ),
    "agent_instances_connection_details": Invalid(
        "connection_details: must be a JSON object of at most 64 KiB", field="connection_details"
    ),
    "agent_checks_url": Invalid(
        "connection_details.health_check_url: must be an http or https URL of at most 2,048 characters without a password",
        field="connection_details",
    ),
    "agent_configurations_claimed_name": Conflict("Another agent of this organization has this name", field="name"),
    "agent_configurations_configuration": Invalid(
        "configuration: must be a JSON object of at most 64 KiB", field="configuration"
    ),
    "api_keys_agents": Invalid(
        "agents: must be 1 to 64 names of agents, each of 1 to 128 printable characters, in Unicode's form NFC, not a UUID",
        field="agents",
    ),
    "agent_configurations_jobs": Invalid("jobs: must have the members and values of mcp.job_options()", field="jobs"),
    "agent_configurations_system_prompt": Invalid("system_prompt: must have at most 256 KiB", field="system_prompt"),
}

_DISABLED, _KEY_REUSED, _OVER_QUOTA, _ANSWER_TOO_LARGE = "AH001", "AH002", "AH003", "AH004"
"""SQLSTATEs of the functions in `migrations/`: the configuration is disabled, an idempotency key came with other
values, a quota is full, a list is larger than the session allows."""

_NOT_GRANTED = (
    "The handler's filter does not match the metadata that this would have. The handler must set what it filters by in"
    " value['metadata']."
)
_ASK_FOR_LESS = "Ask for fewer rows with a smaller `limit`, or, where there is `select`, for fewer fields."

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was lost while asyncpg used it
)

_TRANSIENT = (
    asyncpg.TransactionRollbackError,  # includes deadlocks
    asyncpg.InsufficientResourcesError,  # a full disk, no memory
    asyncpg.ReadOnlySQLTransactionError,  # a failover
    asyncpg.LockNotAvailableError,
)
"""Errors that are not the statement's fault: it may succeed when it is repeated."""


def translate(error: Exception) -> AgenthallError | None:
    """Find the core error for the caller; None for a fault of the server."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        known = _BY_CONSTRAINT.get(error.constraint_name or "")
        return None if known is None else type(known)(known.detail, code=known.code, field=known.field)
    if isinstance(error, asyncpg.InvalidParameterValueError) and error.column_name:
        return Invalid(str(error), field=error.column_name)  # the functions of schema mcp name the field
    if isinstance(error, asyncpg.PostgresError) and (refusal := _refusal(error)) is not None:
        return refusal
    if isinstance(error, asyncpg.UntranslatableCharacterError | asyncpg.CharacterNotInRepertoireError):
        return Invalid("Text must not contain the character NUL (\\u0000)")
    if isinstance(error, _TRANSIENT):
        return Unavailable("The database is temporarily unavailable. Try again.")
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("The database took too long. Try again.")
    if isinstance(error, _UNREACHABLE):
        return Unavailable("The database cannot be reached. Try again.")
    return None


def _refusal(error: asyncpg.PostgresError) -> AgenthallError | None:
    """Find the core error for an SQLSTATE of the functions and the policies in `migrations/`."""
    text = str(error)
    sentence = f"{text[:1].upper()}{text[1:]}."
    if error.sqlstate == _DISABLED:
        return Forbidden(sentence, code="configuration_disabled", field="agent_id")
    if error.sqlstate == _KEY_REUSED:
        return Invalid(sentence, code="idempotency_key_reused", field="idempotency_key")
    if error.sqlstate == _OVER_QUOTA:
        return TooMany(sentence, code=error.constraint_name)
    if isinstance(error, asyncpg.InsufficientPrivilegeError) and "row-level security" in text:
        return Forbidden(_NOT_GRANTED, code="metadata_not_granted", field="metadata")
    if error.sqlstate == _ANSWER_TOO_LARGE:
        return TooLarge(f"{sentence} {_ASK_FOR_LESS}", code="answer_too_large")
    return None


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raise errors of PostgreSQL in the block as core errors."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        known = translate(error)
        if known is None:
            raise
        raise known from error
