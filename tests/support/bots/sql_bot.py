"""An instance without a client: it registers and works with SQL alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

_NONE = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SqlJob:
    """A job that this instance has accepted."""

    bot: SqlBot
    job_id: UUID
    attempt: int
    input: dict[str, Any]

    async def emit(self, first_seq: int, *events: tuple[str, Any]) -> None:
        names, data = [name for name, _ in events], [json.dumps(each) for _, each in events]
        outcome = await self._call("append_job_events", "$6, $7, $8", first_seq, names, data)
        assert outcome == "ok"

    async def finish(self, through_seq: int = 0, state: str = "succeeded", **end: Any) -> str:
        values = [
            None if end.get(name) is None else json.dumps(end[name]) for name in ("result", "error", "interrupts")
        ]
        return await self._call("finish_agent_job", "$6, $7, $8, $9, $10", through_seq, state, *values)

    async def is_cancelled(self) -> bool:
        query = "select cancel from mcp.extend_agent_jobs($1, $2, $3, $4)"
        ids = ([self.bot.registration_id], [self.bot.epoch], [self.job_id], [self.attempt])
        return bool(await self.bot.connection.fetchval(query, *ids))

    async def _call(self, name: str, placeholders: str, *values: Any) -> str:
        named = (self.bot.tenant, self.job_id, self.attempt, self.bot.registration_id, self.bot.epoch)
        query = f"select outcome from mcp.{name}($1, $2, $3, $4, $5, {placeholders})"
        return str(await self.bot.connection.fetchval(query, *named, *values))


@dataclass(slots=True)
class SqlBot:
    connection: asyncpg.Connection[Any]
    tenant: UUID
    agent_id: str
    instance_id: str = "sql"
    registration_id: UUID = _NONE
    config_id: UUID = _NONE
    epoch: int = 0

    async def register(self, slots: int = 4) -> None:
        row = await self.connection.fetchrow(
            "select * from mcp.register_agent_instance($1, $2, $3)", self.tenant, self.agent_id, self.instance_id
        )
        self.registration_id, self.epoch, self.config_id = row["registration_id"], row["epoch"], row["config_id"]
        opened = "select outcome from mcp.open_agent_slots($1, $2, $3, $4)"
        assert await self.connection.fetchval(opened, self.tenant, self.registration_id, self.epoch, slots) == "ok"

    async def next_job(self) -> SqlJob:
        """Wait for an offer, and accept it."""
        while True:
            await self._heartbeat()
            query = "select * from mcp.agent_offers($1) where state = 'offered'"
            for row in await self.connection.fetch(query, [self.registration_id]):
                job = SqlJob(self, row["job_id"], row["attempt"], json.loads(row["input"]))
                accepted = "select outcome from mcp.accept_agent_job($1, $2, $3, $4, $5)"
                named = (self.tenant, job.job_id, job.attempt, self.registration_id, self.epoch)
                if await self.connection.fetchval(accepted, *named) == "ok":
                    return job
            await asyncio.sleep(0.02)

    async def serve(self, handle: Callable[[SqlJob], Awaitable[None]], jobs: int = 1) -> None:
        for _ in range(jobs):
            await handle(await self.next_job())

    async def _heartbeat(self) -> None:
        query = "select outcome from mcp.heartbeat_agent_instance($1, $2, $3)"
        await self.connection.fetchval(query, self.tenant, self.registration_id, self.epoch)
