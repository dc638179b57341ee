from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from .served import Served, serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[Served]:
    """One sample server for all tests that do not end it."""
    async with serving(AGENTHALL_CORS_ORIGINS="https://chat.example") as served:
        yield await served.ready()


@pytest_asyncio.fixture(loop_scope="session")
async def client(server: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        yield http
