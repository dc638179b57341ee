"""A Client or AgentInstance of `@agenthall/client` in a Node process that runs `program.mjs`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from deadlines import DEADLINE
from node import environment
from servers.live_server import until

from robyn_server.supervisor.parent_death import death_signal

PROGRAM = Path(__file__).with_name("program.mjs")
FAST_TIMING = {"keepalive": 2, "backoffFirst": 0.05, "backoffMost": 0.5}


class NodeError(Exception):
    """An error that a method threw. `members` are its own properties, such as `reason`."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.name: str = error["name"]
        self.members = error


class NodeClient:
    """`lines`: what the program printed without being asked, such as log messages and events of watches."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while text := await self.process.stdout.readline():
            line = json.loads(text)
            answer = self._answers.pop(line.get("id"), None)
            if answer is None:
                self.lines.append(line)
            elif "error" in line:
                answer.set_exception(NodeError(line["error"]))
            else:
                answer.set_result(line["value"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the program has ended"))
                answer.exception()  # retrieved: nobody may wait for it

    def send(self, **message: Any) -> tuple[int, asyncio.Future[Any]]:
        """Send a line. Returns its number, and the answer."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": number, **message}).encode() + b"\n")
        return number, self._answers[number]

    def begin(self, name: str, *arguments: Any) -> asyncio.Future[Any]:
        """Call a method, and return without its answer."""
        return self.send(name=name, arguments=arguments)[1]

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a method, or read a property. Raises NodeError."""
        async with asyncio.timeout(DEADLINE):
            return await self.begin(name, *arguments)

    async def set_callbacks(self, **values: Any) -> None:
        await self.send(callbacks=values)[1]

    def serve(self, handler: str) -> asyncio.Future[Any]:
        """Serve a handler of `handlers.mjs`. The answer comes when the instance has drained."""
        return self.send(serve=handler)[1]

    async def take(self) -> NodeJob:
        """Take the next job."""
        async with asyncio.timeout(DEADLINE):
            return NodeJob(self, await self.send(take=True)[1])

    def find(self, name: str) -> list[Any]:
        """The values of this member in the lines that have it."""
        return [line[name] for line in self.lines if name in line]

    async def reached(self, epoch: int) -> None:
        async def is_there() -> bool:
            return await self.call("epoch") == epoch and await self.call("state") in {"active", "draining"}

        await until(is_there)

    async def in_state(self, state: str) -> None:
        async def is_there() -> bool:
            return await self.call("state") == state

        await until(is_there)

    async def ended(self) -> str:
        """Wait for the end of the client. Returns the name of the final error."""
        await until(lambda: self.find("ended"))
        return self.find("ended")[0]

    @contextlib.asynccontextmanager
    async def watching(self, **filters: Any) -> AsyncIterator[Watch]:
        watch = Watch(self, *self.send(follow=filters))
        try:
            yield watch
        finally:
            with contextlib.suppress(ConnectionError):
                self.send(unfollow=watch.number)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def stopped(self) -> int:
        """Close stdin, and wait until nothing keeps the process. Returns its exit status."""
        self.process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    async def release(self) -> None:
        self.kill()
        await self.process.wait()
        await self._reading


class NodeJob:
    """A job that the program has taken. `request`: its members."""

    def __init__(self, client: NodeClient, request: dict[str, Any]) -> None:
        self._client = client
        self.request = request

    def begin(self, name: str, *arguments: Any) -> asyncio.Future[Any]:
        """Call a method, and return without its answer."""
        return self._client.send(job=self.request["jobId"], name=name, arguments=arguments)[1]

    async def call(self, name: str, *arguments: Any) -> Any:
        async with asyncio.timeout(DEADLINE):
            return await self.begin(name, *arguments)

    async def stopped(self) -> str:
        """Wait until the job is to stop. Returns the name of the reason."""
        await until(lambda: self.request["jobId"] in self._client.find("stopped"))
        return next(line["reason"] for line in self._client.lines if line.get("stopped") == self.request["jobId"])


class Watch:
    """The events of one watch, consumed in order."""

    def __init__(self, client: NodeClient, number: int, end: asyncio.Future[Any]) -> None:
        self._client = client
        self.number = number
        self.end = end
        self._consumed = 0

    async def take(self, count: int = 1) -> list[dict[str, Any]]:
        await until(lambda: len(self._events) >= self._consumed + count)
        self._consumed += count
        return self._events[self._consumed - count : self._consumed]

    async def take_until(self, kind: str, **instance: Any) -> list[dict[str, Any]]:
        """Events up to the first of that kind whose instance has these members. A listed one may appear again."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["kind"] != kind or not instance.items() <= found[-1]["instance"].items():
            found += await self.take()
        return found

    @property
    def _events(self) -> list[dict[str, Any]]:
        return [line["event"] for line in self._client.lines if line.get("watch") == self.number]


async def start_node_client(
    node: str, kind: str, *arguments: Any, callbacks: dict[str, Any] | None = None, flags: tuple[str, ...] = ()
) -> NodeClient:
    process = await asyncio.create_subprocess_exec(
        node,
        *flags,
        PROGRAM,
        kind,
        json.dumps(arguments),
        json.dumps(callbacks or {}),
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
        preexec_fn=death_signal(signal.SIGKILL),
    )
    return NodeClient(process)
