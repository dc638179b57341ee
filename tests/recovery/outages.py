"""What tests of outages share: a streamed run to break something under, and a look at the tables from outside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
from langgraph_sdk.client import LangGraphClient
from live_server import until

LEASE = 1.5
STEPS = 10
DELAY = 0.15


class Watch:
    """The tables, seen by somebody who takes no part."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self._connection.fetch(query, *arguments))

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments)

    async def run(self, run_id: str) -> Any:
        return await self._connection.fetchrow("select * from agenthall.runs where run_id = $1", UUID(run_id))

    async def last_run_in(self, thread_id: str, status: str) -> Any:
        """The thread's newest run, when it has that status."""
        return await self._connection.fetchrow(
            "select * from (select * from agenthall.runs where thread_id = $1 order by run_id desc limit 1) r where status = $2",
            UUID(thread_id),
            status,
        )

    async def steps(self, thread_id: str) -> int:
        """Checkpoints of the thread so far."""
        query = "select count(*) from langgraph.checkpoints where thread_id = $1"
        return int(await self._connection.fetchval(query, thread_id))

    async def check_books(self) -> None:
        gaps = "select run_id from agenthall.run_events group by run_id having max(seq) <> count(*) or min(seq) <> 1"
        assert await self.rows(gaps) == []
        ends = """
            select r.run_id, r.status, count(e.*) from agenthall.runs r
              left join agenthall.run_events e on e.run_id = r.run_id and e.event = '__end__' group by r.run_id
            having count(e.*) <> case when r.status in ('pending', 'running') then 0 else 1 end"""
        assert await self.rows(ends) == []


@contextlib.asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watch]:
    connection = await asyncpg.connect(url)
    try:
        yield Watch(connection)
    finally:
        await connection.close()


class Stream:
    """A client that streams a run of `counter`, as the SDK does it, and keeps what it was sent."""

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
        """Returns when the client knows that the step is over."""
        await until(lambda: step in self.counts or self._failed())

    async def ended(self) -> None:
        async with asyncio.timeout(40):
            await self._task

    def _failed(self) -> bool:
        if self._task.done():
            self._task.result()
        return False

    @property
    def counts(self) -> list[int]:
        """The steps whose results were sent, in the order of sending."""
        return [part.data["step"]["count"] for part in self.parts if part.event == "updates"]

    @property
    def begun(self) -> list[int]:
        """The steps that said that they begin; one that ran twice said so twice."""
        return [part.data["at"] for part in self.parts if part.event == "custom"]

    @property
    def ids(self) -> list[str]:
        return [part.id for part in self.parts if part.id]


async def streamed(client: LangGraphClient, **options: Any) -> Stream:
    thread = await client.threads.create()
    return Stream(client, thread["thread_id"], **options)
