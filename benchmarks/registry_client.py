"""Many WebSockets of one process: opened, registered, beating, watching. A program of its own, so that the server's memory is its own.

`python -m benchmarks.registry_client PORT JOB`; JOB is the JSON of `Job`. It prints one JSON document for each line on its input:
`beat SECONDS`, `seen` (what watchers were told, by instance, with monotonic times), and ends with its input.

A raw protocol: a client library's own cost for ten thousand sockets would be measured with the server's.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from dataclasses import dataclass

import orjson

_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TOLD = re.compile(rb'"instance_id":"(told-\d+)"')
_AT_ONCE = 16
_PATIENCE = 20


@dataclass(frozen=True)
class Job:
    sockets: int
    prefix: str
    watch: bool = False
    interval: float = 10.0
    """Seconds between two beats of one socket."""


class Refused(RuntimeError):
    def __init__(self, error: dict[str, object]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.retryable = bool(error["retryable"])


class Socket(asyncio.Protocol):
    """One message in flight. `answered` is set with the last message that echoes an id."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.closed_at: float | None = None
        self.is_mute = False
        """It says nothing more, not even to pings, and stays."""
        self.registration: tuple[str, int] = ("", 0)
        self._received = b""
        self._is_open = False
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_at = time.monotonic()
        self._settle(ConnectionError(f"closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_open:
            head, mark, rest = self._received.partition(b"\r\n\r\n")
            if not mark:
                return
            self._is_open, self._received = True, rest
            self._settle(head)
        while frame := self._frame():
            self._take(*frame)

    def _frame(self) -> tuple[int, bytes] | None:
        if len(self._received) < 2:
            return None
        length, at = self._received[1] & 127, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(self._received) < 2 + size:
                return None
            length, at = int.from_bytes(self._received[2 : 2 + size], "big"), 2 + size
        if len(self._received) < at + length:
            return None
        frame = self._received[0] & 15, self._received[at : at + length]
        self._received = self._received[at + length :]
        return frame

    def _take(self, kind: int, body: bytes) -> None:
        if kind == 9:
            self._write(10, body)
        elif kind == 8:
            self._settle(ConnectionError(f"closed with {int.from_bytes(body[:2], 'big')}: {body[2:].decode()}"))
        elif kind == 1 and body.startswith(b'{"type":2'):
            now = time.monotonic()
            self.told += [(name.decode(), now) for name in _TOLD.findall(body)]
        elif kind == 1:
            self._settle(body)

    def _settle(self, found: bytes | Exception) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(found, Exception):
            self._answer.set_exception(found)
        else:
            self._answer.set_result(found)

    def _write(self, kind: int, body: bytes) -> None:
        """Masked with zeros, which is a mask."""
        if self.is_mute:
            return
        size = len(body)
        length = bytes([128 | size]) if size < 126 else bytes([128 | 126]) + size.to_bytes(2, "big")
        self.transport.write(bytes([128 | kind]) + length + b"\0\0\0\0" + body)

    async def open(self) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(_HANDSHAKE)
        head = await self._answer
        if b" 101 " not in head:
            raise RuntimeError(head.decode())

    async def ask(self, method: str, **params: object) -> dict[str, object]:
        self._answer = asyncio.get_running_loop().create_future()
        self._write(1, orjson.dumps({"type": 0, "id": "m", "method": method, "params": params}))
        answer = orjson.loads(await self._answer)
        if answer["type"] != 1:
            raise Refused(answer["error"])
        found: dict[str, object] = answer["result"]
        return found

    def say(self, kind: int, body: bytes = b"") -> None:
        self._write(kind, body)


async def opened(port: int) -> Socket:
    _, socket = await asyncio.get_running_loop().create_connection(Socket, "127.0.0.1", port)
    await socket.open()
    return socket


async def registered(port: int, instance_id: str) -> Socket:
    """Asks again as long as it is told that it may."""
    socket = await opened(port)
    for attempt in range(_PATIENCE):
        try:
            answer = await socket.ask("agent.register", agent_id="socket-agent", name="S", instance_id=instance_id)
            break
        except Refused as refused:
            if not refused.retryable or attempt + 1 == _PATIENCE:
                raise
    socket.registration = str(answer["registration_id"]), int(str(answer["epoch"]))
    return socket


async def _all(port: int, job: Job, beating: Beating) -> list[Socket]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Socket:
        async with gate:
            if not job.watch:
                socket = await registered(port, f"{job.prefix}-{number}")
                beating.start(socket)
                return socket
            socket = await opened(port)
            await socket.ask("agent.watch")
            return socket

    return await asyncio.gather(*(one(number) for number in range(job.sockets)))


class Beating:
    """Every socket beats once an interval from its registration on, wherever the benchmark is. `times` of acks since they were asked for."""

    def __init__(self, interval: float) -> None:
        self.times: list[float] = []
        self.lost: list[str] = []
        self._interval = interval
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, socket: Socket) -> None:
        task = asyncio.create_task(self._beat(socket))
        self._tasks.add(task)

    async def _beat(self, socket: Socket) -> None:
        next_at = time.monotonic() + random.uniform(0, self._interval)
        registration_id, epoch = socket.registration
        try:
            while True:
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
                began = time.monotonic()
                await socket.ask("agent.heartbeat", registration_id=registration_id, epoch=epoch, health="healthy")
                self.times.append(time.monotonic() - began)
                next_at += self._interval
        except (ConnectionError, RuntimeError) as error:
            self.lost.append(str(error))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _run(port: int, job: Job) -> None:
    began, beating = time.monotonic(), Beating(job.interval)
    sockets = await _all(port, job, beating)
    _print({"open": len(sockets), "seconds": time.monotonic() - began})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).split():
        if line[0] == b"beat":
            beating.times.clear()
            await asyncio.sleep(float(line[1]))
            _print({"times": list(beating.times), "lost": beating.lost})
        elif line[0] == b"seen":
            _print({"seen": [each for socket in sockets for each in socket.told]})
    beating.stop()
    for socket in sockets:
        socket.say(8, (1000).to_bytes(2, "big"))
    await asyncio.sleep(0.5)


def _print(what: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), Job(**orjson.loads(sys.argv[2]))))
