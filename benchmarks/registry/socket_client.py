"""Open many WebSockets that register and send heartbeats, or watch.

`python -m benchmarks.registry.socket_client PORT JOB`, where JOB is the JSON of `Job`. Prints one JSON document for
each input line and ends with its input. `beat SECONDS`: the latencies of the next heartbeats. `seen`: the events of
watchers, by instance, with monotonic times.

It speaks the protocol without a client library, whose cost for ten thousand connections would be part of the
measurement.
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
_EVENT_ID = re.compile(rb'"instance_id":"(told-\d+)"')
_MAX_OPENING = 16
_MAX_ATTEMPTS = 20


@dataclass(frozen=True)
class Job:
    sockets: int
    prefix: str
    watch: bool = False
    interval: float = 10.0
    """Seconds between two heartbeats of one socket."""


class Refused(RuntimeError):
    def __init__(self, error: dict[str, object]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.retryable = bool(error["retryable"])


class RawSocket(asyncio.Protocol):
    """A WebSocket with one request in flight."""

    def __init__(self) -> None:
        self.seen_events: list[tuple[str, float]] = []
        self.closed_at: float | None = None
        self.is_silent = False
        """Send nothing any more, not even pongs, but stay connected."""
        self.registration: tuple[str, int] = ("", 0)
        self._received = b""
        self._is_open = False
        self._response: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_at = time.monotonic()
        self._resolve(ConnectionError(f"closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_open:
            head, mark, rest = self._received.partition(b"\r\n\r\n")
            if not mark:
                return
            self._is_open, self._received = True, rest
            self._resolve(head)
        while frame := self._next_frame():
            self._handle_frame(*frame)

    def _next_frame(self) -> tuple[int, bytes] | None:
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

    def _handle_frame(self, kind: int, body: bytes) -> None:
        if kind == 9:
            self.send_frame(10, body)
        elif kind == 8:
            self._resolve(ConnectionError(f"closed with {int.from_bytes(body[:2], 'big')}: {body[2:].decode()}"))
        elif kind == 1 and body.startswith(b'{"type":2'):
            now = time.monotonic()
            self.seen_events += [(name.decode(), now) for name in _EVENT_ID.findall(body)]
        elif kind == 1:
            self._resolve(body)

    def _resolve(self, found: bytes | Exception) -> None:
        if self._response is None or self._response.done():
            return
        if isinstance(found, Exception):
            self._response.set_exception(found)
        else:
            self._response.set_result(found)

    def send_frame(self, kind: int, body: bytes) -> None:
        """Send a frame, masked with zeros."""
        if self.is_silent:
            return
        size = len(body)
        length = bytes([128 | size]) if size < 126 else bytes([128 | 126]) + size.to_bytes(2, "big")
        self.transport.write(bytes([128 | kind]) + length + b"\0\0\0\0" + body)

    async def open(self) -> None:
        self._response = asyncio.get_running_loop().create_future()
        self.transport.write(_HANDSHAKE)
        head = await self._response
        if b" 101 " not in head:
            raise RuntimeError(head.decode())

    async def request(self, method: str, **params: object) -> dict[str, object]:
        self._response = asyncio.get_running_loop().create_future()
        self.send_frame(1, orjson.dumps({"type": 0, "id": "m", "method": method, "params": params}))
        answer = orjson.loads(await self._response)
        if answer["type"] != 1:
            raise Refused(answer["error"])
        found: dict[str, object] = answer["result"]
        return found


async def open_socket(port: int) -> RawSocket:
    _, socket = await asyncio.get_running_loop().create_connection(RawSocket, "127.0.0.1", port)
    await socket.open()
    return socket


async def open_registered_socket(port: int, instance_id: str) -> RawSocket:
    """Asks again as long as it is told that it may."""
    socket = await open_socket(port)
    for attempt in range(_MAX_ATTEMPTS):
        try:
            answer = await socket.request("agent.register", agent_id="socket-agent", name="S", instance_id=instance_id)
            break
        except Refused as refused:
            if not refused.retryable or attempt + 1 == _MAX_ATTEMPTS:
                raise
    socket.registration = str(answer["registration_id"]), int(str(answer["epoch"]))
    return socket


async def _open_all(port: int, job: Job, heartbeat_loops: HeartbeatLoops) -> list[RawSocket]:
    gate = asyncio.Semaphore(_MAX_OPENING)

    async def one(number: int) -> RawSocket:
        async with gate:
            if not job.watch:
                socket = await open_registered_socket(port, f"{job.prefix}-{number}")
                heartbeat_loops.start(socket)
                return socket
            socket = await open_socket(port)
            await socket.request("agent.watch")
            return socket

    return await asyncio.gather(*(one(number) for number in range(job.sockets)))


class HeartbeatLoops:
    """Every socket sends one heartbeat in each interval after its registration. `times`: latencies of the acks."""

    def __init__(self, interval: float) -> None:
        self.times: list[float] = []
        self.lost: list[str] = []
        self._interval = interval
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, socket: RawSocket) -> None:
        task = asyncio.create_task(self._beat(socket))
        self._tasks.add(task)

    async def _beat(self, socket: RawSocket) -> None:
        next_at = time.monotonic() + random.uniform(0, self._interval)
        registration_id, epoch = socket.registration
        try:
            while True:
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
                started = time.monotonic()
                await socket.request("agent.heartbeat", registration_id=registration_id, epoch=epoch, health="healthy")
                self.times.append(time.monotonic() - started)
                next_at += self._interval
        except (ConnectionError, RuntimeError) as error:
            self.lost.append(str(error))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _run(port: int, job: Job) -> None:
    started, heartbeat_loops = time.monotonic(), HeartbeatLoops(job.interval)
    sockets = await _open_all(port, job, heartbeat_loops)
    _print({"open": len(sockets), "seconds": time.monotonic() - started})
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).split():
        if line[0] == b"beat":
            heartbeat_loops.times.clear()
            await asyncio.sleep(float(line[1]))
            _print({"times": list(heartbeat_loops.times), "lost": heartbeat_loops.lost})
        elif line[0] == b"seen":
            _print({"seen": [each for socket in sockets for each in socket.seen_events]})
    heartbeat_loops.stop()
    for socket in sockets:
        socket.send_frame(8, (1000).to_bytes(2, "big"))
    await asyncio.sleep(0.5)


def _print(what: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), Job(**orjson.loads(sys.argv[2]))))
