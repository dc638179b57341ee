"""Instances, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from .link import Link

PAGE = 100
LIVING = ("active", "draining")


async def pages(link: Link, method: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All instances that `method` finds."""
    cursor: dict[str, Any] = {}
    while True:
        page = await link.ask(method, {**wanted, "limit": PAGE, **cursor})
        for instance in page["instances"]:
            yield instance
        if not page.get("next_cursor"):
            return
        cursor = {"cursor": page["next_cursor"]}


async def instances_of(link: Link, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All that are alive, whether or not they take new work."""
    for status in LIVING:
        async for instance in pages(link, "agent.list", {**wanted, "status": status}):
            yield instance
