"""`agenthall credentials`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from robyn_server import logs
from robyn_server.app.parts.credentials import make_keys
from robyn_server.app.parts.database import check_schema
from robyn_server.app.parts.pools import Pools
from robyn_server.credentials.entries import CredentialEntries
from robyn_server.settings import Settings
from robyn_server.storage.mcp.connections import McpConnections
from robyn_server.storage.mcp.credentials import McpCredentials

T = TypeVar("T")


def run_credentials(settings: Settings, work: Callable[[CredentialEntries], Awaitable[T]]) -> T:
    """Return the result of `work`. Nothing is migrated. Raises Misconfigured if there is no schema yet."""
    logs.configure(settings)
    return asyncio.run(_credentials(settings, work))


async def _credentials(settings: Settings, work: Callable[[CredentialEntries], Awaitable[T]]) -> T:
    await check_schema(settings, "agenthall.mcp_credentials")
    async with AsyncExitStack() as closing:
        pool = await Pools(settings, closing).system("agenthall credentials", size=1)
        return await work(CredentialEntries(McpCredentials(pool), make_keys(settings), McpConnections(pool)))
