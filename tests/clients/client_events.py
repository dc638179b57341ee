"""Events of the change feed that are gone."""

from __future__ import annotations

import asyncio

import asyncpg
from deadlines import DEADLINE
from registry_server import RegistryServer


async def compact_events(server: RegistryServer, registration_id: str | None) -> None:
    """Delete all events, once there is one of an update of this instance."""
    connection = await asyncpg.connect(server.database)
    async with asyncio.timeout(DEADLINE):
        while not await connection.fetchval(
            "select count(*) from mcp.agent_events where registration_id = $1 and kind = 'updated'", registration_id
        ):
            await asyncio.sleep(0.02)
    await connection.execute("select mcp.compact_agent_events('0 seconds', 0)")
    await connection.close()
