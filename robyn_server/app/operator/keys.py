"""`agenthall keys`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from robyn_server import logs
from robyn_server.app.parts.database import check_schema
from robyn_server.app.parts.pools import Pools
from robyn_server.identity.api_keys import ApiKeyService
from robyn_server.settings import Settings
from robyn_server.storage.api_keys import ApiKeys

T = TypeVar("T")


def run_keys(settings: Settings, work: Callable[[ApiKeyService], Awaitable[T]]) -> T:
    """Return the result of `work`. Nothing is migrated. Raises Misconfigured if there is no schema yet."""
    logs.configure(settings)  # on standard error: only the key goes to standard output
    return asyncio.run(_keys(settings, work))


async def _keys(settings: Settings, work: Callable[[ApiKeyService], Awaitable[T]]) -> T:
    await check_schema(settings, "agenthall.api_keys")
    async with AsyncExitStack() as closing:
        pool = await Pools(settings, closing).system("agenthall keys", size=1)
        return await work(ApiKeyService(ApiKeys(pool)))
