"""Reading ahead: the next page is on its way while this one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def ahead(pages: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same pages, never more than one ahead, so two are in memory. Closes `pages`."""
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
