"""Read lists of instances page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from agenthall_client.connection.reconnecting_connection import ReconnectingConnection

PAGE_SIZE = 100
LIVE_STATUSES = ("active", "draining")


async def iterate_instances(
    connection: ReconnectingConnection, method: str, filters: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """All instances that `method` (`agent.list` or `agent.discover`) finds."""
    cursor: dict[str, Any] = {}
    while True:
        page = await connection.request(method, {**filters, "limit": PAGE_SIZE, **cursor})
        for instance in page["instances"]:
            yield instance
        if not page.get("next_cursor"):
            return
        cursor = {"cursor": page["next_cursor"]}


async def iterate_live_instances(
    connection: ReconnectingConnection, filters: Mapping[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """Instances that are alive, draining ones included."""
    for status in LIVE_STATUSES:
        async for instance in iterate_instances(connection, "agent.list", {**filters, "status": status}):
            yield instance
