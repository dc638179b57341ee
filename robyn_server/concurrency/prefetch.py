"""Fetch the next page while the current one is processed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def prefetch(pages: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the same pages, fetched one ahead: at most two are in memory. Closes `pages`."""
    upcoming = _next(pages)
    try:
        while (page := await upcoming) is not None:
            upcoming = _next(pages)
            yield page
    finally:
        upcoming.cancel()
        await asyncio.wait([upcoming])
        await pages.aclose()


def _next(pages: AsyncGenerator[T, None]) -> asyncio.Task[T | None]:
    async def read() -> T | None:
        return await anext(pages, None)

    return asyncio.create_task(read())
