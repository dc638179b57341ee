"""Organizations of a subject, by an operator's own query on the catalogue. It runs in a read-only transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg

from robyn_server.core.errors import Misconfigured
from robyn_server.core.ids import find_uuid

from .postgres.errors import translated
from .postgres.pools import Connection, Pool

FIELD = "AUTH_MEMBERSHIP_QUERY"
MOST_ORGANIZATIONS = 1000
_SECONDS = 5.0
_TEXTS = frozenset({"text", "varchar"})
_READABLE = _TEXTS | {"uuid"}


async def read_organizations(pool: Pool, query: str, subject: str) -> frozenset[UUID]:
    """Read the organizations of `subject`.

    Raises Unavailable when the catalogue does not answer, Misconfigured for an unusable query.
    """
    async with translated(), pool.acquire(timeout=_SECONDS) as connection:
        return await run_membership_query(connection, query, subject)


async def run_membership_query(connection: Connection, query: str, subject: str) -> frozenset[UUID]:
    """Run the query in a read-only transaction. Raises Misconfigured for an unusable query."""
    try:
        async with connection.transaction(readonly=True):
            await check_membership_query(connection, query)
            rows = await connection.fetch(query, subject, timeout=_SECONDS)
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError) as error:
        raise _unusable(str(error)) from None
    return _as_organizations(row[0] for row in rows)


async def check_membership_query(connection: Connection, query: str) -> None:
    """Raises Misconfigured unless `query` prepares, takes $1 as text or uuid and returns one column of uuid or text."""
    try:
        statement = await connection.prepare(query, name="")  # a named statement would stay in a pooler's session
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
        raise _unusable(f"does not prepare: {error}") from None
    taken = [each.name for each in statement.get_parameters()]
    returned = [each.type.name for each in statement.get_attributes()]
    if len(taken) != 1 or taken[0] not in _READABLE:
        raise _unusable(f"must take $1, the subject, as text or uuid; it takes {taken or 'nothing'}")
    if len(returned) != 1 or returned[0] not in _READABLE:
        raise _unusable(
            f"must return one column of organization ids (uuid or text); it returns {returned or 'nothing'}"
        )


def _as_organizations(values: Iterable[Any]) -> frozenset[UUID]:
    found = {UUID(str(value)) if find_uuid(str(value)) else None for value in values}
    if None in found:
        raise _unusable("returned a value that is not a UUID")
    if len(found) > MOST_ORGANIZATIONS:
        raise _unusable(f"returned more than {MOST_ORGANIZATIONS} organizations for one subject")
    return frozenset(one for one in found if one is not None)


def _unusable(reason: str) -> Misconfigured:
    return Misconfigured(f"{FIELD} {reason}", field=FIELD)
