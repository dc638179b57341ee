"""A streamed run, and a view of the database from outside, for tests of outages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
from deadlines import DEADLINE
from langgraph_sdk.client import LangGraphClient
from servers.live_server import until

LEASE = 4.0
"""Seconds. At a load of 25, a worker that starts does not renew leases for two seconds while it imports graphs."""

STEPS = 10
DELAY = 0.15


class DatabaseObserver:
    """Reads the tables over a connection of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self._connection.fetch(query, *arguments))

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments)

    async def run(self, run_id: str) -> Any:
        return await self._connection.fetchrow("select * from agenthall.runs where run_id = $1", UUID(run_id))

    async def last_run_in(self, thread_id: str, status: str) -> Any:
        """Return the thread's newest run if it has that status."""
        return await self._connection.fetchrow(
            "select * from (select * from agenthall.runs where thread_id = $1 order by run_id desc limit 1) r where status = $2",
            UUID(thread_id),
            status,
        )

    async def steps(self, thread_id: str) -> int:
        """Count the checkpoints of the thread."""
        query = "select count(*) from langgraph.checkpoints where thread_id = $1"
        return int(await self._connection.fetchval(query, thread_id))

    async def check_invariants(self) -> None:
        gaps = "select run_id from agenthall.run_events group by run_id having max(seq) <> count(*) or min(seq) <> 1"
        assert await self.rows(gaps) == []
        ends = """
            select r.run_id, r.status, count(e.*) from agenthall.runs r
              left join agenthall.run_events e on e.run_id = r.run_id and e.event = '__end__' group by r.run_id
            having count(e.*) <> case when r.status in ('pending', 'running') then 0 else 1 end"""
        assert await self.rows(ends) == []


@contextlib.asynccontextmanager
async def observe_database(url: str) -> AsyncIterator[DatabaseObserver]:
    connection = await asyncpg.connect(url)
    try:
        yield DatabaseObserver(connection)
    finally:
        await connection.close()


class StreamedRun:
    """A run of the graph `counter`, streamed with the SDK. Keeps all parts of the stream."""

    def __init__(self, client: LangGraphClient, thread_id: str, **options: Any) -> None:
        self.parts: list[Any] = []
        self.thread_id = thread_id
        self._client = client
        self._task = asyncio.create_task(self._read(options))

    async def _read(self, options: dict[str, Any]) -> None:
        given = {
            "input": {"until": STEPS, "delay": DELAY},
            "stream_mode": ["updates", "custom"],
            "stream_resumable": True,
            "durability": "sync",
        } | options
        async for part in self._client.runs.stream(self.thread_id, "counter", **given):
            self.parts.append(part)

    async def reached(self, step: int) -> None:
        """Wait until the client has the result of the step."""
        await until(lambda: step in self.finished_steps or self._failed())

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._task

    def _failed(self) -> bool:
        if self._task.done():
            self._task.result()
        return False

    @property
    def finished_steps(self) -> list[int]:
        """The steps whose results arrived, in order."""
        return [part.data["step"]["count"] for part in self.parts if part.event == "updates"]

    @property
    def started_steps(self) -> list[int]:
        """The steps that started. A step that ran twice appears twice."""
        return [part.data["at"] for part in self.parts if part.event == "custom"]

    @property
    def ids(self) -> list[str]:
        return [part.id for part in self.parts if part.id]


async def start_streamed_run(client: LangGraphClient, **options: Any) -> StreamedRun:
    thread = await client.threads.create()
    return StreamedRun(client, thread["thread_id"], **options)
