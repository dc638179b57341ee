"""A process lives and is cut off for longer than a lease, somebody else goes on with the job, and it returns.

Its late messages are refused, and it works again. The leases of jobs are short here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from bots.server_jobs import ServerJob, create_job, numbers
from bots.worker_programs import WorkerProgram, start_worker
from databases import fresh_database
from deadlines import DEADLINE
from network.faulty_proxy import PostgresProxy, WebSocketProxy
from network.websocket_client import WebSocketClient, dial, expect_refused
from run_observer import LEASE, DatabaseObserver, observe_database
from servers.live_server import LiveServer, Process, accepts, free_port, live_server, until
from servers.sockets_process import SocketsProcess

TENANT = "00000000-0000-0000-0000-000000000001"
TOKENS, PAUSE = 20, 0.02
_SHORT = {"job_lease": "3s", "heartbeat_interval": "1s"}
_EVENTS = "select attempt, seq, data from mcp.agent_job_events where job_id = $1 and attempt = $2 order by seq"


@dataclass
class World:
    """A server whose processes reach the database. `cut_off`: the way to it of the process that a test cuts off."""

    server: LiveServer
    sockets: SocketsProcess
    cut_off: PostgresProxy
    owner: asyncpg.Connection[Any]
    observer: DatabaseObserver
    folder: Path
    bots: list[WorkerProgram] = field(default_factory=list)

    async def start_bot(self, url: str, agent_id: str, instance_id: str) -> WorkerProgram:
        options = {"url": url, "tenant_id": TENANT, "instance_id": instance_id, "slots": 1}
        self.bots.append(await start_worker("python", agent_id, **options))
        return self.bots[-1]

    @contextlib.asynccontextmanager
    async def cut_off_process(self, command: str, **settings: str) -> AsyncIterator[Process]:
        """A process that reaches the database through `cut_off`."""
        environment = self.server.environment | {"DATABASE_URL": self.cut_off.url} | settings
        process = Process(command, environment, self.folder / f"{command}-{free_port()}.log")
        try:
            yield process
        finally:
            process.kill()
            await process.ended()

    async def create_job(self, agent_id: str) -> ServerJob:
        """Create a job whose instance emits TOKENS numbers and more, until `let_end` is called."""
        text = f"{TOKENS} {PAUSE} {self.folder / agent_id}"
        return await create_job(
            self.owner, TENANT, agent_id, {"input": {"messages": [{"content": text}]}}, retry="always"
        )

    def let_end(self, agent_id: str) -> None:
        (self.folder / agent_id).touch()

    async def events(self, job: ServerJob, attempt: int) -> list[Any]:
        return await self.observer.rows(_EVENTS, job.job_id, attempt)

    async def release(self) -> None:
        while self.bots:
            await self.bots.pop().release()


@pytest.fixture(scope="module")
async def world(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("partitions")
    settings = {"AGENTHALL_RUN_LEASE": str(LEASE), "AGENTHALL_RUN_MAX_ATTEMPTS": "20", "AGENTHALL_DEV_TENANT": TENANT}
    async with fresh_database(postgres, template) as url:
        owner = await asyncpg.connect(url)
        name = await owner.fetchval("select current_database()")
        for setting, value in _SHORT.items():
            await owner.execute(f"alter database {name} set mcp.{setting} = '{value}'")
        async with (
            PostgresProxy(url).serving() as cut_off,
            live_server(url, **settings) as server,
            observe_database(url) as observer,
        ):
            sockets = SocketsProcess(server.environment, folder / "sockets.log")
            try:
                await sockets.ready()
                yield World(server, sockets, cut_off, owner, observer, folder)
            finally:
                sockets.kill()
                sockets.popen.wait()
        await owner.close()


@pytest.fixture(autouse=True)
async def check_invariants(world: World) -> AsyncIterator[None]:
    """No job is open and no slot is taken."""
    yield
    await world.release()
    assert await world.observer.value("select count(*) from mcp.agent_jobs where ended_at is null or holds_slot") == 0
    assert await world.observer.value("select coalesce(sum(used), 0) from mcp.agent_slots") == 0


async def _check_taken_over(world: World, job: ServerJob, before: list[Any]) -> None:
    """The job has ended in its second attempt, and its first one has no other events than before."""
    ended = await job.ended()
    assert (ended["state"], ended["attempt"], ended["instance_id"]) == ("succeeded", 2, "two")
    text = await job.tokens(2)
    assert text == numbers(len(text.split()))
    assert await world.events(job, 1) == before


async def _check_works_again(world: World, agent_id: str, one: WorkerProgram, two: WorkerProgram) -> None:
    """The instance that returned does the next job, in the slot that the lost one had."""
    await two.release()
    again = await world.create_job(agent_id)
    await one.begins(again)
    assert (await again.ended())["state"] == "succeeded"


async def test_a_bot_that_was_cut_off_cannot_write_to_a_job_that_another_has(world: World) -> None:
    async with WebSocketProxy(world.sockets.port).serving() as proxy:
        one = await world.start_bot(proxy.url, "cut-bot", "one")
        job = await world.create_job("cut-bot")
        await job.has_tokens()
        two = await world.start_bot(world.sockets.url, "cut-bot", "two")
        with proxy.frozen():
            await two.begins(job, 2)
            before = await world.events(job, 1)
        world.let_end("cut-bot")
        await _check_taken_over(world, job, before)
        await _check_works_again(world, "cut-bot", one, two)
        assert await world.events(job, 1) == before


async def test_a_sockets_process_that_was_cut_off_cannot_write_for_its_bot(world: World) -> None:
    port = free_port()
    async with world.cut_off_process("sockets", AGENTHALL_SOCKETS_PORT=str(port)):
        await until(lambda: asyncio.to_thread(accepts, port))
        one = await world.start_bot(f"ws://127.0.0.1:{port}/ws", "cut-sockets", "one")
        job = await world.create_job("cut-sockets")
        await job.has_tokens()
        two = await world.start_bot(world.sockets.url, "cut-sockets", "two")
        with world.cut_off.frozen():
            await two.begins(job, 2)
            before = await world.events(job, 1)
        world.let_end("cut-sockets")
        await _check_taken_over(world, job, before)
        await _check_works_again(world, "cut-sockets", one, two)
        assert await world.events(job, 1) == before


class Stubborn:
    """An instance over a WebSocket that goes on with its job, whatever happened meanwhile."""

    def __init__(self, socket: WebSocketClient) -> None:
        self._socket = socket
        self._ref: dict[str, Any] = {}

    async def register(self, agent_id: str, job: ServerJob | None = None) -> list[Any]:
        """Return the jobs that go on."""
        jobs = [] if job is None else [str(job.job_id)]
        made = await self._ask("agent.register", agent_id=agent_id, instance_id="one", slots=1, jobs=jobs)
        self._ref = {"registration_id": made["registration_id"], "epoch": made["epoch"]}
        if job is not None:
            self._ref |= {"job_id": str(job.job_id), "attempt": 1}
        return list(made["jobs"])

    async def accept(self) -> None:
        job = (await self._socket.wait_for_notification("job.offer"))["job"]
        self._ref |= {"job_id": job["job_id"], "attempt": job["attempt"]}
        await self._ask("job.accept")

    async def emit(self, first_seq: int) -> Any:
        return await self._ask("job.events", first_seq=first_seq, events=[{"event": "token", "data": "0 "}])

    async def finish(self, through_seq: int) -> Any:
        return await self._ask("job.finish", through_seq=through_seq, result="stale")

    async def is_fenced(self) -> bool:
        """Whether the next event and the end of the job are refused as fenced."""
        refused = [await expect_refused(self.emit(2)), await expect_refused(self.finish(1))]
        return [each.reason for each in refused] == ["fenced"] * 2

    async def _ask(self, method: str, **params: Any) -> Any:
        return await self._socket.ask(method, **self._ref, **params)


async def _begun(world: World, bot: Stubborn, agent_id: str) -> tuple[ServerJob, WorkerProgram]:
    """A job with one event of this bot, and another bot that is ready to take over."""
    await bot.register(agent_id)
    job = await world.create_job(agent_id)
    await bot.accept()
    assert (await bot.emit(1))["applied_through"] == 1
    return job, await world.start_bot(world.sockets.url, agent_id, "two")


async def test_late_messages_of_a_bot_that_was_cut_off_are_fenced(world: World) -> None:
    async with WebSocketProxy(world.sockets.port).serving() as proxy, dial(proxy.url) as cut_off:
        job, two = await _begun(world, Stubborn(cut_off), "stubborn-bot")
        with proxy.frozen():
            await two.begins(job, 2)
            before = await world.events(job, 1)
    async with dial(world.sockets.url) as returned:
        bot = Stubborn(returned)
        assert await bot.register("stubborn-bot", job) == []
        assert await bot.is_fenced()
    world.let_end("stubborn-bot")
    await _check_taken_over(world, job, before)


async def test_a_sockets_process_that_was_cut_off_answers_late_messages_as_fenced(world: World) -> None:
    port = free_port()
    async with world.cut_off_process("sockets", AGENTHALL_SOCKETS_PORT=str(port)):
        await until(lambda: asyncio.to_thread(accepts, port))
        async with dial(f"ws://127.0.0.1:{port}/ws") as socket:
            bot = Stubborn(socket)
            job, two = await _begun(world, bot, "stubborn-sockets")
            with world.cut_off.frozen():
                late = asyncio.create_task(expect_refused(bot.emit(2)))
                await two.begins(job, 2)
                before = await world.events(job, 1)
            assert (await late).reason in ("fenced", "unavailable")
            assert await bot.is_fenced()
        world.let_end("stubborn-sockets")
        await _check_taken_over(world, job, before)


class Poller:
    """An instance that works over HTTP, through one web process."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._ref: dict[str, Any] = {}
        self._job_id = ""

    async def register(self, agent_id: str) -> None:
        body = {"agent_id": agent_id, "instance_id": "one", "slots": 1}
        made = (await self._http.post("/agents/instances", json=body)).raise_for_status().json()
        self._ref = {"registration_id": made["registration_id"], "epoch": made["epoch"]}

    async def accept(self) -> UUID | None:
        """Claim a job, and accept it. Return its id."""
        path = f"/agents/instances/{self._ref['registration_id']}/jobs/claim"
        body = {"epoch": self._ref["epoch"], "wait_seconds": 10}
        jobs = (await self._http.post(path, json=body)).raise_for_status().json()["jobs"]
        if not jobs:
            return None
        self._job_id, self._ref["attempt"] = jobs[0]["job_id"], jobs[0]["attempt"]
        (await self.say("accept")).raise_for_status()
        return UUID(self._job_id)

    async def say(self, verb: str, **members: Any) -> httpx.Response:
        return await self._http.post(f"/agents/jobs/{self._job_id}/{verb}", json={**self._ref, **members})

    async def emit(self, first_seq: int) -> httpx.Response:
        return await self.say("events", first_seq=first_seq, events=[{"event": "token", "data": f"{first_seq - 1} "}])


async def test_a_web_process_that_was_cut_off_cannot_write_for_its_poller(world: World) -> None:
    port = free_port()
    async with (
        world.cut_off_process("web", AGENTHALL_PORT=str(port)),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE) as http,
    ):
        await until(lambda: _answers(http))
        poller = Poller(http)
        await poller.register("cut-web")
        job = await world.create_job("cut-web")
        assert await until(poller.accept) == job.job_id
        (await poller.emit(1)).raise_for_status()
        two = await world.start_bot(world.sockets.url, "cut-web", "two")
        with world.cut_off.frozen():
            late = asyncio.create_task(poller.emit(2))
            await two.begins(job, 2)
            before = await world.events(job, 1)
        answers = [await late, await poller.emit(2), await poller.say("extend")]
        answers.append(await poller.say("finish", through_seq=1, result="stale"))
        assert answers[0].status_code in (409, 503)
        assert [(each.status_code, each.json()["code"]) for each in answers[1:]] == [(409, "fenced")] * 3
        world.let_end("cut-web")
        await _check_taken_over(world, job, before)


async def _answers(http: httpx.AsyncClient) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get("/ok")).status_code == 200
    return False


async def test_a_worker_that_was_cut_off_cannot_write_to_a_run_that_another_has(world: World) -> None:
    """The bot notices nothing: the next worker follows the same job."""
    (other,) = world.server.workers
    other.kill()
    await other.ended()
    await world.start_bot(world.sockets.url, "cut-worker", "one")
    client = world.server.sdk()
    thread = (await client.threads.create())["thread_id"]
    async with world.cut_off_process("worker") as worker:
        text = f"{TOKENS} {PAUSE} {world.folder / 'cut-worker'}"
        given = {"messages": [{"role": "user", "content": text}]}
        run = await client.runs.create(thread, "cut-worker", input=given, durability="sync")
        run_id = UUID(run["run_id"])
        streamed = "select count(*) from agenthall.run_events where run_id = $1 and attempt = $2"
        await until(lambda: world.observer.value(streamed, run_id, 1))
        with world.cut_off.frozen():
            other.start()
            await until(lambda: world.observer.value(streamed, run_id, 2))
            first = await _stored(world, run_id, thread)
        world.let_end("cut-worker")
        await client.runs.join(thread, run["run_id"])
        last = await _stored(world, run_id, thread)
        other.kill()
        await other.ended()
        assert await client.runs.wait(None, "echo", input={"text": "again"}) == {"text": "again"}
        await until(lambda: "the lease of a run was lost" in worker.read_log())
        assert await _stored(world, run_id, thread) == last
        assert [each for each in last[0] if each["attempt"] == 1] == [each for each in first[0] if each["attempt"] == 1]
    other.start()
    (job,) = await world.observer.rows("select state, attempt from mcp.agent_jobs where run_id = $1", run_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "success"


async def _stored(world: World, run_id: UUID, thread_id: str) -> tuple[list[Any], list[Any]]:
    """The events of a run, and the checkpoints of its thread."""
    events = "select attempt, seq, data from agenthall.run_events where run_id = $1 order by seq"
    checkpoints = "select checkpoint_id from langgraph.checkpoints where thread_id = $1 order by 1"
    return await world.observer.rows(events, run_id), await world.observer.rows(checkpoints, thread_id)
