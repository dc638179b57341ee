"""`python -m benchmarks.catalogue_feed [--edits N] [--agents N] [--json]`: time from a catalogue edit to its assistant.

Two web replicas share one database with the feed installed and a catalogue of `--agents` agents. Every other edit
changes the prompt of the same agent; the others take the agents in turn. All times are milliseconds since the edit's
COMMIT:

  row_ms             until another connection sees the assistant's row (polled every millisecond)
  web0_ms, web1_ms   until GET /assistants/{id} of that replica shows the prompt (polled over a keep-alive connection)

The next edit starts when all three are done. `doubled` counts assistant versions beyond one for each edit, although
both replicas receive each notification.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from databases import fresh_database, make_template, postgres_server
from servers.live_server import LiveServer, live_server

from robyn_server.files import CATALOGUE_FEED

from .agent_sync.catalogue import fill_catalogue

DEADLINE = 30.0
POINTS = ("row_ms", "web0_ms", "web1_ms")
SETTINGS: dict[str, Any] = {"AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600"}
_PROMPT = "select config #>> '{configurable,system_prompt}' from agenthall.assistants where assistant_id = $1"


class Benchmark:
    """A connection that edits the catalogue, one that reads the rows, and an HTTP client for each replica."""

    def __init__(
        self, editor: asyncpg.Connection[Any], reader: asyncpg.Connection[Any], clients: list[httpx.AsyncClient]
    ) -> None:
        self.editor = editor
        self.reader = reader
        self.clients = clients

    async def edit(self, agent_id: UUID, prompt: str) -> dict[str, float]:
        """Edit a prompt. Returns milliseconds by POINTS."""
        await self.editor.execute("update public.agents set system_prompt = $2 where id = $1", agent_id, prompt)
        started = time.perf_counter()
        reads = [
            lambda: self._stored_prompt(agent_id),
            *(lambda c=client: _served_prompt(c, agent_id) for client in self.clients),
        ]
        durations = await asyncio.gather(*(_wait_for(read, prompt, started) for read in reads))
        return dict(zip(POINTS, durations, strict=True))

    async def _stored_prompt(self, agent_id: UUID) -> str:
        return str(await self.reader.fetchval(_PROMPT, agent_id))


async def _served_prompt(client: httpx.AsyncClient, agent_id: UUID) -> str:
    answer = (await client.get(f"/assistants/{agent_id}")).raise_for_status()
    return str(orjson.loads(answer.content)["config"]["configurable"]["system_prompt"])


async def _wait_for(read: Callable[[], Awaitable[str]], expected: str, started: float) -> float:
    async with asyncio.timeout(DEADLINE):
        while await read() != expected:
            await asyncio.sleep(0.001)
    return (time.perf_counter() - started) * 1000


async def measure(agents: int, edits: int) -> dict[str, Any]:
    """Percentiles for each of POINTS."""
    with postgres_server() as postgres:
        async with (
            fresh_database(postgres, await make_template(postgres)) as dsn,
            _open_benchmark(dsn, agents) as benchmark,
        ):
            ids = [
                row["id"] for row in await benchmark.editor.fetch("select id from public.agents order by id limit 100")
            ]
            durations = []
            for number in range(edits):
                agent_id = ids[0] if number % 2 else ids[number // 2 % len(ids)]
                durations.append(await benchmark.edit(agent_id, f"edit {number}"))
            doubled = await benchmark.reader.fetchval(
                "select sum(version - 1) - $1 from agenthall.assistants where catalogue_hash is not null", edits
            )
    percentiles = {where: _percentiles([each[where] for each in durations]) for where in POINTS}
    return {"agents": agents, "edits": edits, "replicas": 2, "doubled": int(doubled), **percentiles}


@contextlib.asynccontextmanager
async def _open_benchmark(dsn: str, agents: int) -> AsyncIterator[Benchmark]:
    """Start two replicas that share only the database, with all agents synced."""
    await fill_catalogue(dsn, agents)
    editor, reader = [await asyncpg.connect(dsn) for _ in range(2)]
    await editor.execute(CATALOGUE_FEED.read_text())
    async with (
        live_server(dsn, workers=0, **SETTINGS) as one,
        live_server(dsn, workers=0, **SETTINGS) as other,
        _client(one) as first,
        _client(other) as second,
    ):
        yield Benchmark(editor, reader, [first, second])
    for connection in (editor, reader):
        await connection.close()


def _client(server: LiveServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=DEADLINE)


def _percentiles(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    last = len(values) - 1
    cuts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(values[round(last * cut)], 1) for name, cut in cuts.items()}


def table(result: dict[str, Any]) -> str:
    head = f"{result['edits']:,} edits of {result['agents']:,} agents, {result['replicas']} replicas, {result['doubled']} doubled"
    lines = ["          " + "".join(f"{name:>9}" for name in result[POINTS[0]])]
    lines += [f"{where:10}" + "".join(f"{value:9.1f}" for value in result[where].values()) for where in POINTS]
    return "\n".join([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.catalogue_feed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=1_000, metavar="N")
    parser.add_argument("--agents", type=int, default=1_000, metavar="N")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.agents, arguments.edits))
    print(orjson.dumps(result).decode() if arguments.json else table(result))


if __name__ == "__main__":
    main()
