"""The check of Redis, where REDIS_URL is set."""

from __future__ import annotations

import os
from collections.abc import Iterator

from robyn_server.core.errors import AgenthallError
from robyn_server.doctor.check import Check, check_async
from robyn_server.redis_streams.options import redis_options
from robyn_server.settings import load_settings


def redis_checks(host: str, port: int) -> Iterator[Check]:
    """Check the server and the library. Without REDIS_URL there is nothing to check."""
    if not os.environ.get("REDIS_URL"):
        return
    try:
        settings = load_settings(host=host, port=port)
        options = redis_options(settings)
    except AgenthallError as error:
        yield Check("redis", passed=False, text=str(error))
        return
    if options is None:
        return
    from robyn_server.redis_streams.connection import describe_server

    yield check_async("redis", describe_server(options))
