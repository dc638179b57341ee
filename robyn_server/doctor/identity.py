"""Identity: what AUTH_MODE=jwt depends on."""

from __future__ import annotations

from collections.abc import Iterator

from robyn_server.core.errors import Misconfigured
from robyn_server.services.jwks import JwksError, fetch_jwks
from robyn_server.settings import AuthMode, load_settings
from robyn_server.storage.membership import check_membership_query

from .checks import Check, check_async
from .database import connected_to_catalogue


def identity_checks(dsn: str) -> Iterator[Check]:
    """Wrong settings were said before, and are not said again."""
    try:
        settings = load_settings(host="127.0.0.1")
    except Misconfigured:
        return
    if settings.auth_mode is not AuthMode.JWT:
        return
    if settings.jwks_url is not None:
        yield check_async("jwks", _jwks(settings.jwks_url))
    if settings.membership_query is not None:
        yield check_async("membership", _membership(dsn, settings.membership_query))


async def _jwks(url: str) -> str:
    """Raises Misconfigured with the reason."""
    try:
        keys = await fetch_jwks(url)
    except JwksError as error:
        raise Misconfigured(f"{url}: {error}", field="AUTH_JWKS_URL") from None
    return f"{len(keys)} key{'s' if len(keys) > 1 else ''} at {url}"


async def _membership(dsn: str, query: str) -> str:
    """Raises Misconfigured for a query that cannot be used."""
    async with connected_to_catalogue(dsn) as connection:
        await check_membership_query(connection, query)
    return "AUTH_MEMBERSHIP_QUERY prepares, and returns organization ids"
