"""Everything that a process has of Redis: the client, the streams of runs, and whether the server answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from robyn_server.core.errors import AgenthallError, Unavailable

from .client import Client, check_server, open_client
from .health import RedisHealth
from .options import RedisOptions
from .streams import RunEventStreams
from .wakeups import Wakeups

_log = structlog.get_logger(__name__)


class RedisConnection:
    def __init__(self, client: Client, options: RedisOptions, *, is_up: bool) -> None:
        self._client = client
        self._url = options.url
        self.streams = RunEventStreams(
            client, options.url, options.prefix, most=options.most_events, ttl=options.event_ttl
        )
        self.health = RedisHealth(self.streams, is_up=is_up)

    async def check(self) -> str:
        """Check the server and the rights of its user. Return one line about it. Raises Unavailable, Misconfigured."""
        described = await check_server(self._client, self._url)
        await self.streams.probe()
        return described

    def wakeups(self, on_message: Callable[[str], None], on_connect: Callable[[], None]) -> Wakeups:
        return Wakeups(self._client, self._url, self.streams.channel, on_message, on_connect)

    async def delete_swept(self, run_ids: Sequence[UUID]) -> None:
        """Delete the streams of runs whose end is swept, if Redis answers. Without that they expire."""
        try:
            await self.streams.delete(run_ids)
        except AgenthallError as error:
            self.health.report_failure(error)

    async def close(self) -> None:
        await self._client.aclose()


async def open_connection(options: RedisOptions, name: str) -> RedisConnection:
    """Connect to Redis and check it. `name`: for its list of clients.

    Raises Misconfigured for a server that cannot be used. One that does not answer is reported in the log, and waited
    for.
    """
    client = open_client(options.url, name=name, connections=options.connections, seconds=options.seconds)
    connection = RedisConnection(client, options, is_up=False)
    try:
        _log.info("redis answers", server=await connection.check())
        connection.health.is_up = True
    except Unavailable as error:
        _log.error("redis does not answer; run events go to PostgreSQL until it does", error=error.detail)
    except BaseException:
        await connection.close()
        raise
    return connection


async def describe_server(options: RedisOptions) -> str:
    """Return one line about the server. Raises Unavailable, Misconfigured."""
    client = open_client(options.url, name="agenthall doctor", connections=1, seconds=options.seconds)
    connection = RedisConnection(client, options, is_up=False)
    try:
        return await connection.check()
    finally:
        await connection.close()
