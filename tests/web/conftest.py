from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from deadlines import DEADLINE
from servers.web_process import WebProcess, web_process


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server() -> AsyncIterator[WebProcess]:
    """One sample server for all tests that do not end it."""
    async with web_process(AGENTHALL_CORS_ORIGINS="https://chat.example") as served:
        yield await served.ready()


@pytest_asyncio.fixture(loop_scope="session")
async def client(server: WebProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE) as http:
        yield http
