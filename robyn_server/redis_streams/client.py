"""Connections to a Redis or Valkey server, and its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.core.urls.redis_url import redis_address

MINIMUM_VERSION = (6, 2)
"""Of Redis, and of what Valkey reports as its Redis version: the oldest with exclusive ranges of a stream."""

_REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_FAILED = (exceptions.RedisError, OSError, asyncio.TimeoutError)

# The client is typed for calls that return at once and for coroutines, in one union that fits neither.
Client: TypeAlias = Any


def open_client(url: str, *, name: str, connections: int, seconds: float) -> Client:
    """Return a client of the server at a checked URL. It connects when it is used.

    `connections`: most at the same time; a call waits for one. `seconds`: for a connection, an answer, or a free
    connection.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        client_name=name.replace(" ", "-"),
        # Once more at once, because an idle connection may have been closed. All calls here can be repeated.
        retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise errors of the client as Unavailable, and a refused password or right as Misconfigured, without the
    password."""
    try:
        yield
    except _REFUSED as error:
        raise Misconfigured(f"Redis at {redis_address(url)} refuses the user: {error}", field="REDIS_URL") from None
    except _FAILED as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(
            f"Redis at {redis_address(url)} does not answer: {reason}", code="redis_unavailable"
        ) from None


async def check_server(client: Client, url: str) -> str:
    """Return one line about the server. Raises Unavailable, and Misconfigured for a server that cannot be used."""
    with translated(url):
        about: dict[str, Any] = await client.info()
    version = _version(about)
    if about.get("cluster_enabled"):
        raise Misconfigured(
            f"Redis at {redis_address(url)} is a cluster, which is not supported; use one server, or one with replicas",
            field="REDIS_URL",
        )
    if about.get("role", "master") != "master":
        raise Misconfigured(f"Redis at {redis_address(url)} is a replica; give the primary", field="REDIS_URL")
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
        raise Misconfigured(
            f"Redis at {redis_address(url)} is {version}; 6.2 is the oldest that works", field="REDIS_URL"
        )
    return f"{_product(about)} at {redis_address(url)}{_memory_note(about)}"


def _version(about: dict[str, Any]) -> str:
    return str(about.get("redis_version", "0.0"))


def _product(about: dict[str, Any]) -> str:
    return f"Valkey {about['valkey_version']}" if "valkey_version" in about else f"Redis {_version(about)}"


def _memory_note(about: dict[str, Any]) -> str:
    """Return a warning of a limit of the memory that may cost streams; else nothing."""
    policy = about.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or not about.get("maxmemory"):
        return ""
    return f"; maxmemory-policy is {policy}: it deletes streams that are still read, noeviction does not"
