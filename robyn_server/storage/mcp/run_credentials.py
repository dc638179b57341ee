"""The encrypted tokens of callers. Works as agenthall_system; `Runs.enqueue` writes them."""

from __future__ import annotations

from uuid import UUID

from robyn_server.storage.postgres.errors import translated
from robyn_server.storage.postgres.pools import Pool
from robyn_server.storage.postgres.queries import load

_SQL = load("mcp/run_credentials")


class RunCredentials:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, run_id: UUID) -> bytes | None:
        """The ciphertext of a run that has not ended; None without one."""
        async with translated():
            sealed: bytes | None = await self._pool.fetchval(*_SQL["find"].bind(run_id=run_id))
        return sealed
