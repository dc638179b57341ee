"""`python -m benchmarks.catalogue_feed [--edits N] [--agents N] [--json]`: from an edit of the catalogue to an effective assistant.

Two web replicas on one database with the feed installed, a catalogue of `--agents`; every other edit is of one and the same agent's
prompt, the others are of agents in turn. Milliseconds from the answer to the edit's COMMIT: row_ms, until another connection sees
the assistant's row (looked at every millisecond); web0_ms and web1_ms, until GET /assistants/{id} of that replica shows the prompt
(asked again and again, over a connection kept alive). The next edit begins when all three are over. Also doubled: assistants'
versions beyond one for each edit, though both replicas hear of each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from databases import fresh_database, make_template, postgres_server
from live_server import LiveServer, live_server

from robyn_server.files import CATALOGUE_FEED

from .agent_sync_catalogue import fill

DEADLINE = 30.0
WHERE = ("row_ms", "web0_ms", "web1_ms")
SETTINGS: dict[str, Any] = {"AGENT_SYNC_SCOPE": "all", "AGENT_SYNC_EVERY": "3600"}
_PROMPT = "select config #>> '{configurable,system_prompt}' from agenthall.assistants where assistant_id = $1"


class Bench:
    """The catalogue's editor, somebody who looks at the rows, and a client of each replica."""

    def __init__(
        self, editor: asyncpg.Connection[Any], watch: asyncpg.Connection[Any], clients: list[httpx.AsyncClient]
    ) -> None:
        self.editor = editor
        self.watch = watch
        self.clients = clients

    async def edit(self, agent_id: UUID, prompt: str) -> dict[str, float]:
        """Milliseconds, by WHERE."""
        await self.editor.execute("update public.agents set system_prompt = $2 where id = $1", agent_id, prompt)
        began = time.perf_counter()
        looks = [lambda: self._row(agent_id), *(lambda c=client: _shown(c, agent_id) for client in self.clients)]
        took = await asyncio.gather(*(_until(look, prompt, began) for look in looks))
        return dict(zip(WHERE, took, strict=True))

    async def _row(self, agent_id: UUID) -> str:
        return str(await self.watch.fetchval(_PROMPT, agent_id))


async def _shown(client: httpx.AsyncClient, agent_id: UUID) -> str:
    answer = (await client.get(f"/assistants/{agent_id}")).raise_for_status()
    return str(orjson.loads(answer.content)["config"]["configurable"]["system_prompt"])


async def _until(look: Callable[[], Awaitable[str]], wanted: str, began: float) -> float:
    async with asyncio.timeout(DEADLINE):
        while await look() != wanted:
            await asyncio.sleep(0.001)
    return (time.perf_counter() - began) * 1000


async def measure(agents: int, edits: int) -> dict[str, Any]:
    """Percentiles of each way of looking; see above."""
    with postgres_server() as postgres:
        async with fresh_database(postgres, await make_template(postgres)) as dsn, _bench(dsn, agents) as bench:
            ids = [row["id"] for row in await bench.editor.fetch("select id from public.agents order by id limit 100")]
            took = []
            for number in range(edits):
                agent_id = ids[0] if number % 2 else ids[number // 2 % len(ids)]
                took.append(await bench.edit(agent_id, f"edit {number}"))
            doubled = await bench.watch.fetchval(
                "select sum(version - 1) - $1 from agenthall.assistants where catalogue_hash is not null", edits
            )
    figures = {where: _percentiles([each[where] for each in took]) for where in WHERE}
    return {"agents": agents, "edits": edits, "replicas": 2, "doubled": int(doubled), **figures}


@contextlib.asynccontextmanager
async def _bench(dsn: str, agents: int) -> AsyncIterator[Bench]:
    """Two replicas that share nothing but the database, each on its own port, with all agents synced."""
    await fill(dsn, agents)
    editor, watch = [await asyncpg.connect(dsn) for _ in range(2)]
    await editor.execute(CATALOGUE_FEED.read_text())
    async with (
        live_server(dsn, workers=0, **SETTINGS) as one,
        live_server(dsn, workers=0, **SETTINGS) as other,
        _client(one) as first,
        _client(other) as second,
    ):
        yield Bench(editor, watch, [first, second])
    for connection in (editor, watch):
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
    lines = ["          " + "".join(f"{name:>9}" for name in result[WHERE[0]])]
    lines += [f"{where:10}" + "".join(f"{value:9.1f}" for value in result[where].values()) for where in WHERE]
    return "\n".join([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.catalogue_feed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=1_000, metavar="N")
    parser.add_argument("--agents", type=int, default=1_000, metavar="N")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    result = asyncio.run(measure(asked.agents, asked.edits))
    print(orjson.dumps(result).decode() if asked.json else table(result))


if __name__ == "__main__":
    main()
