"""The settings of Redis. This module does not need the client library, which may not be installed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import timedelta

from robyn_server.core.errors import Misconfigured
from robyn_server.settings import Settings

_NOT_INSTALLED = (
    "REDIS_URL is set, and the Python package redis is not installed. Install it: pip install 'agenthall[redis]'."
    " Or unset REDIS_URL: then PostgreSQL has the events of runs."
)


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """`url`: checked.

    `most_events`: that a stream keeps, 0 for any number. `event_ttl`: life of a stream after its run's end.
    """

    url: str
    prefix: str
    seconds: float
    connections: int
    most_events: int
    event_ttl: timedelta


def redis_options(settings: Settings) -> RedisOptions | None:
    """Return the options; None without REDIS_URL.

    Raises Misconfigured for a wrong URL, and where the library is missing.
    """
    url = settings.checked_redis_url
    if url is None:
        return None
    if importlib.util.find_spec("redis") is None:
        raise Misconfigured(_NOT_INSTALLED, field="REDIS_URL")
    return RedisOptions(
        url=url,
        prefix=settings.redis_prefix,
        seconds=settings.redis_seconds,
        connections=settings.redis_connections,
        most_events=settings.redis_max_events,
        event_ttl=timedelta(seconds=settings.event_ttl_seconds),
    )
