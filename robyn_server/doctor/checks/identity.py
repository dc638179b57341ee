"""Checks of identity: the handlers of a project; with AUTH_MODE=jwt, its key set and its membership query."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import asyncpg

from robyn_server.core.errors import Misconfigured
from robyn_server.doctor.check import Check, check, check_async
from robyn_server.doctor.database import connect_to_catalogue
from robyn_server.identity.handlers.loading import load_handlers
from robyn_server.identity.jwks import JwksError, fetch_jwks
from robyn_server.settings import AuthMode, load_settings
from robyn_server.storage.memberships import run_membership_query

_NOBODY = UUID(int=0)


def identity_checks(dsn: str) -> Iterator[Check]:
    """Yield the checks; none with wrong settings, which another check reports."""
    try:
        settings = load_settings(host="127.0.0.1")
    except Misconfigured:
        return
    if settings.auth_handlers is not None:
        yield check("handlers", lambda path=settings.auth_handlers: _handlers(path))  # type: ignore[misc]
    if settings.auth_mode is not AuthMode.JWT:
        return
    if settings.jwks_url is not None:
        yield check_async("jwks", _jwks(settings.jwks_url))
    if settings.membership_query is not None:
        yield check_async("membership", _membership(dsn, settings.membership_query))


def _handlers(path: str) -> str:
    """Load the handlers, as a web process does. Raises Misconfigured."""
    names = ", ".join(load_handlers(path).names)
    return f"{path} authenticates; it authorizes {names or 'nothing: each user has their own rows'}"


async def _jwks(url: str) -> str:
    """Fetch the key set. Raises Misconfigured with the reason."""
    try:
        keys = await fetch_jwks(url)
    except JwksError as error:
        raise Misconfigured(f"{url}: {error}", field="AUTH_JWKS_URL") from None
    return f"{len(keys)} key{'s' if len(keys) > 1 else ''} at {url}"


async def _membership(dsn: str, query: str) -> str:
    """Run the membership query for a user that does not exist.

    Raises Misconfigured if it fails, for example without a right to read.
    """
    async with connect_to_catalogue(dsn) as connection:
        try:
            await run_membership_query(connection, query, str(_NOBODY))
        except (asyncpg.PostgresError, TimeoutError) as error:
            raise Misconfigured(f"it fails: {error or 'no answer'}", field="AUTH_MEMBERSHIP_QUERY") from None
    return "AUTH_MEMBERSHIP_QUERY prepares and runs, and returns organization ids"
