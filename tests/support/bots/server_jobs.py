"""Jobs of a whole server, as their creator sees them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
from servers.live_server import until

ENDS = {"succeeded", "failed", "cancelled", "expired"}


class ServerJob:
    """A job in the database."""

    def __init__(self, connection: asyncpg.Connection, tenant: str, job_id: UUID) -> None:
        self._connection = connection
        self._tenant = UUID(tenant)
        self.job_id = job_id

    async def row(self) -> Any:
        return await self._connection.fetchrow("select * from mcp.agent_jobs where id = $1", self.job_id)

    async def tokens(self, attempt: int = 1) -> str:
        """The text that an attempt has reported."""
        data = await self._connection.fetch(
            "select data from mcp.agent_job_events where job_id = $1 and attempt = $2 order by seq",
            self.job_id,
            attempt,
        )
        return "".join(json.loads(each["data"]) for each in data)

    async def has_tokens(self) -> None:
        await until(self.tokens)

    async def ended(self) -> Any:
        async def end() -> Any:
            row = await self.row()
            return row if row["state"] in ENDS else None

        return await until(end)

    async def cancel(self) -> None:
        await self._connection.execute(
            "select mcp.cancel_agent_job($1, $2, 'the user stopped it')", self._tenant, self.job_id
        )


async def create_job(
    connection: asyncpg.Connection, tenant: str, agent_id: str, request: dict[str, Any], *, retry: str = "if_silent"
) -> ServerJob:
    """`request`: what the instance gets, such as `input` and `resume`."""
    row = await connection.fetchrow(
        "select * from mcp.create_agent_job(tenant_id => $1, agent_id => $2, input => $3, retry => $4)",
        UUID(tenant),
        agent_id,
        json.dumps(request),
        retry,
    )
    return ServerJob(connection, tenant, row["id"])


def numbers(count: int) -> str:
    return "".join(f"{number} " for number in range(count))
