"""A conversation with a bot that streams while parts of the server die, and what its client saw."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from bots.server_jobs import numbers
from bots.worker_programs import WorkerProgram, start_worker
from databases import database_url, make_template, private_postgres, restart_postgres
from deadlines import DEADLINE
from network.faulty_proxy import WebSocketProxy
from run_observer import observe_database
from servers.live_server import LiveServer, accepts, live_server, until
from servers.sockets_process import SocketsProcess

from robyn_server.supervisor.postgres.server import EmbeddedPostgres

KEEPER_ID = "AGENTHALL_KEEPER_ID"
"""With it, a process that is restarted takes over from its predecessor at once, as a child of `serve` does."""

TOKENS, PAUSE = 300, 0.01
"""How many tokens a bot emits, and the seconds between two."""

AFTER_A_CRASH = 100_000
"""Numbers that an attempt leaves out which begins after a crash of the database (agenthall.claimed_seq)."""

TENANT = "00000000-0000-0000-0000-000000000001"
_POLICY = '{"retry": "always", "max_attempts": 100, "schedule_to_start_seconds": null}'
_OPEN_JOBS = "select count(*) from mcp.agent_jobs where run_id = $1::uuid and (ended_at is null or holds_slot)"
_USED_SLOTS = """
select coalesce(sum(s.used), 0) from mcp.agent_slots s join mcp.agent_manifests m on m.id = s.manifest_id
 where m.agent_id = $1"""


class Deployment:
    """A whole server on a PostgreSQL of its own, and bots that reach it through `proxy`."""

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        server: LiveServer,
        sockets: SocketsProcess,
        proxy: WebSocketProxy,
        folder: Path,
    ) -> None:
        self.folder = folder
        self.postgres, self.server, self.sockets, self.proxy = postgres, server, sockets, proxy
        self.bots: dict[str, WorkerProgram] = {}

    async def start_bot(self, agent_id: str, instance_id: str) -> None:
        options = {"url": self.proxy.url, "tenant_id": TENANT, "instance_id": instance_id, "slots": 2}
        self.bots[instance_id] = await start_worker("python", agent_id, **options)

    async def kill_bot(self, instance_id: str) -> None:
        await self.bots.pop(instance_id).release()

    async def stop_bots(self) -> None:
        for instance_id in list(self.bots):
            await self.kill_bot(instance_id)

    async def allow_retries(self, agent_id: str) -> None:
        """Let the agent's jobs be retried although they have streamed."""
        async with observe_database(self.server.database) as observer:
            await observer.rows(
                "update mcp.agent_configurations set jobs = $2 where agent_id = $1 returning id", agent_id, _POLICY
            )

    async def kill_sockets(self) -> None:
        await _restart_killed(self.sockets)

    async def kill_worker(self) -> None:
        await _restart_killed(self.server.workers[0])

    async def kill_web(self) -> None:
        await _restart_killed(self.server.webs[0])

    async def cut_sockets(self) -> None:
        self.proxy.cut()

    async def kill_postgres(self) -> None:
        await restart_postgres(self.postgres, signal.SIGKILL)


async def _restart_killed(process: Any) -> None:
    process.kill()
    await process.ended()
    process.start()


@contextlib.asynccontextmanager
async def job_deployment(folder: Path) -> AsyncIterator[Deployment]:
    settings = {
        "AGENTHALL_RUN_LEASE": "30",  # longer than PostgreSQL needs to come back
        KEEPER_ID: str(uuid4()),
        "AGENTHALL_RUN_MAX_ATTEMPTS": "20",
        "AGENTHALL_DEV_TENANT": TENANT,
        "AGENTHALL_DRAIN_SECONDS": "2",
    }
    with private_postgres() as postgres:
        url = database_url(postgres.dsn, await make_template(postgres.dsn))
        async with live_server(url, **settings) as server:
            sockets = SocketsProcess(server.environment, folder / "sockets.log", **{KEEPER_ID: str(uuid4())})
            async with WebSocketProxy(sockets.port).serving() as proxy:
                found = Deployment(postgres, server, sockets, proxy, folder)
                try:
                    await sockets.ready()
                    yield found
                finally:
                    await found.stop_bots()
                    sockets.kill()
                    sockets.popen.wait()


class Conversation:
    """A run that streams TOKENS numbers or more, until `check` is called. `parts`: what the client saw."""

    def __init__(self, deployment: Deployment, agent_id: str, thread_id: str) -> None:
        self.parts: list[Any] = []
        self.thread_id = thread_id
        self._faults: list[tuple[int, str]] = []
        self._deployment = deployment
        self._agent_id = agent_id
        self._stop = deployment.folder / thread_id
        self._task = asyncio.create_task(self._read(f"{TOKENS} {PAUSE} {self._stop}"))

    async def _read(self, text: str) -> None:
        """The SDK reconnects with Last-Event-ID, five times. Then the server is slow to start, and the client joins."""
        runs = self._deployment.server.sdk().runs
        stream = runs.stream(
            self.thread_id,
            self._agent_id,
            input={"messages": [{"role": "user", "content": text}]},
            stream_mode=["messages-tuple", "custom"],
            stream_resumable=True,
            durability="sync",
        )
        while True:
            try:
                async for part in stream:
                    self.parts.append(part)
            except httpx.TransportError:
                await until(lambda: asyncio.to_thread(accepts, self._deployment.server.port))
                last = next(part.id for part in reversed(self.parts) if part.id)
                stream = runs.join_stream(self.thread_id, self.parts[0].data["run_id"], last_event_id=last)
            else:
                return

    async def goes_on(self, tokens: int = 20) -> None:
        """Wait until the client has got further tokens."""
        seen = len(self.chunks)

        def has_more() -> bool:
            if self._task.done():
                self._task.result()
                raise AssertionError(f"the run ended early: {self.transcript()}")
            return len(self.chunks) >= seen + tokens

        await until(has_more)

    def note(self, fault: str) -> None:
        self._faults.append((len(self.parts), fault))

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._task

    @property
    def _places(self) -> list[int]:
        return [int(part.id.rpartition("-")[2]) for part in self.parts if part.id]

    @property
    def chunks(self) -> list[tuple[str, str]]:
        """The id of the message, and the text, of each token."""
        return [(part.data[0]["id"], part.data[0]["content"]) for part in self.parts if part.event == "messages"]

    @property
    def texts(self) -> dict[str, str]:
        """The text of each message."""
        texts: dict[str, str] = {}
        for message_id, content in self.chunks:
            texts[message_id] = texts.get(message_id, "") + content
        return texts

    async def check(self) -> None:
        """The client has every event once and in order, the run has succeeded, and nothing is left open."""
        self._stop.touch()
        await self.ended()
        assert [part for part in self.parts if part.event == "error"] == []
        steps = {two - one for one, two in itertools.pairwise(self._places)}
        assert steps <= {1, 1 + AFTER_A_CRASH}, self.transcript()
        (run,) = await self._deployment.server.sdk().runs.list(self.thread_id)
        assert run["status"] == "success"
        await self._check_texts()
        async with observe_database(self._deployment.server.database) as observer:
            assert await observer.value(_OPEN_JOBS, run["run_id"]) == 0
            assert await observer.value(_USED_SLOTS, self._agent_id) == 0

    async def _check_texts(self) -> None:
        """The message of the attempt that succeeded is whole, and comes last. Those of others are its beginnings."""
        state: Any = await self._deployment.server.sdk().threads.get_state(self.thread_id)
        answer = state["values"]["messages"][-1]
        count = len(answer["content"].split())
        whole = numbers(count)
        assert count >= TOKENS
        assert (answer["content"], self.texts[answer["id"]]) == (whole, whole)
        assert [text for text in self.texts.values() if not whole.startswith(text)] == []
        assert list(self.texts)[-1] == answer["id"]

    def transcript(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        """One line for each fault, and for the parts between two faults that belong together."""
        faults = [*self._faults, (len(self.parts), "")]
        names = {each: f"message {number}" for number, each in enumerate(self.texts, 1)}
        begin = 0
        for end, fault in faults:
            for name, group in itertools.groupby(self.parts[begin:end], lambda part: _name(part, names)):
                yield _line(name, list(group))
            if fault:
                yield f"--- {fault}"
            begin = end


def _name(part: Any, names: dict[str, str]) -> str:
    return names[part.data[0]["id"]] if part.event == "messages" else part.event


def _line(name: str, parts: list[Any]) -> str:
    if parts[0].event != "messages":
        return f"    {name} {parts[0].data}"
    first, last = (part.data[0]["content"].strip() for part in (parts[0], parts[-1]))
    ids = " to ".join(part.id.rpartition("-")[2] for part in (parts[0], parts[-1]))
    return f"    {name}: tokens {first} to {last} ({len(parts)} events, ids {ids})"
