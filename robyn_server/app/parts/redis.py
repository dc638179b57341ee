"""The connection to Redis of a process, where REDIS_URL is set."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from robyn_server.redis_streams.options import redis_options
from robyn_server.settings import Settings

if TYPE_CHECKING:
    from robyn_server.redis_streams.connection import RedisConnection


async def open_redis(settings: Settings, closing: AsyncExitStack, name: str) -> RedisConnection | None:
    """Connect; None without REDIS_URL. `closing` closes the connection. Raises Misconfigured."""
    options = redis_options(settings)
    if options is None:
        return None
    from robyn_server.redis_streams.connection import open_connection

    connection = await open_connection(options, name)
    closing.push_async_callback(connection.close)
    return connection
