"""`python -m benchmarks.attacks [--seconds N] [--only NAME,…] [--json]`: what other clients notice of a hostile one.

One process attacks a server in one way after another. Meanwhile two clients ask in turn, one `GET /livez` and one a
stateless run of a trivial graph, as before the attack. The attacks are those of `tests/security/`, and come on one
connection if nothing else is said. The target is a p99 of `GET /livez` of 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

import httpx
import orjson
from databases import fresh_database, make_template, postgres_server
from network.websocket_client import dial
from rich.console import Console
from rich.table import Table
from security.hostile_frames import FRAMES
from security.large_bodies import REFUSED
from security.malformed_messages import MalformedMessages
from security.malformed_requests import malformed_requests
from security.observed_process import observe, p99
from security.plausible import ORGANIZATION, PLAUSIBLE
from security.raw_socket import handshake, raw_socket
from servers.live_server import LiveServer, live_server
from servers.sockets_process import SocketsProcess
from websockets.exceptions import ConnectionClosed

from robyn_server.web.routes import all_routes

HALF_OPEN = 500
STALLED_READERS = 50
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """`sockets`: the port of the sockets process. `thread`: one that exists."""

    http: httpx.AsyncClient
    web: int
    sockets: int
    thread: str


Attack = Callable[[Target], AsyncIterator[None]]
"""Yields after each request, message or connection. Its connections stay open until it is closed."""


async def malformed_bodies(target: Target) -> AsyncIterator[None]:
    routes = [route for route in all_routes() if not route.not_built]
    for sent in malformed_requests(routes, {"thread_id": target.thread}, PLAUSIBLE, seed=1):
        async with target.http.stream(sent.method, sent.path, content=sent.body, headers=dict(sent.headers)) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                await answer.aread()
        yield


async def large_bodies(target: Target) -> AsyncIterator[None]:
    prepared = [(path.format(thread=target.thread), orjson.dumps(body)) for path, body in REFUSED.values()]
    for path, body in itertools.cycle(prepared):
        await target.http.post(path, content=body)
        yield


async def ids_of_others(target: Target) -> AsyncIterator[None]:
    paths = ["/threads/{}", "/threads/{}/state", "/assistants/{}", "/threads/{}/runs", "/agents/instances/{}"]
    for path in itertools.cycle(paths):
        await target.http.get(path.format(uuid4()))
        yield


async def costly_filters(target: Target) -> AsyncIterator[None]:
    nested: object = 1
    for _ in range(90):
        nested = {"a": nested}
    wide = {f"k{n}": {"$gte": n} for n in range(2_000)}
    asked = [
        ("/threads/search", {"metadata": {"a": nested}, "limit": 1000}),
        ("/threads/search", {"values": {f"k{n}": n for n in range(2_000)}, "limit": 1000}),
        ("/store/items/search", {"namespace_prefix": [], "filter": wide, "limit": 1000}),
        ("/assistants/search", {"name": "%_" * 200, "limit": 1000}),
        ("/threads/search", {"limit": 1000, "extract": {f"k{n}": "values" + ".a" * 90 for n in range(10)}}),
    ]
    for path, body in itertools.cycle(asked):
        await target.http.post(path, json=body)
        yield


async def half_open_requests(target: Target) -> AsyncIterator[None]:
    """Heads that do not end, on HALF_OPEN connections."""
    async with AsyncExitStack() as opened:
        for _ in range(HALF_OPEN):
            bare = await opened.enter_async_context(raw_socket(target.web))
            await bare.send(b"POST /runs/wait HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
            yield
        await asyncio.Event().wait()


async def stalled_readers(target: Target) -> AsyncIterator[None]:
    """Streams of runs that nobody reads, on STALLED_READERS connections."""
    run = {"assistant_id": "counter", "input": {"until": 100_000, "delay": 0.001}, "stream_mode": "values"}
    body = orjson.dumps(run)
    async with AsyncExitStack() as opened:
        for _ in range(STALLED_READERS):
            bare = await opened.enter_async_context(raw_socket(target.web))
            head = f"POST /runs/stream HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            await bare.send(f"{head}\r\n\r\n".encode() + body)
            yield
        await asyncio.Event().wait()


async def frames_against_the_protocol(target: Target) -> AsyncIterator[None]:
    for sent, _ in itertools.cycle(FRAMES.values()):
        async with raw_socket(target.sockets) as bare:
            await bare.open(target.sockets)
            await bare.send(sent)
            await bare.close_code()
        yield


async def malformed_messages(target: Target) -> AsyncIterator[None]:
    messages = MalformedMessages(seed=1)
    while True:
        async with dial(f"ws://127.0.0.1:{target.sockets}/ws") as socket:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(50):
                    await socket.send(messages.make())
                    await socket.send({"type": 4, "id": "after"})
                    while not _is_pong(await socket.read()):
                        continue
                    yield


def _is_pong(answer: object) -> bool:
    """Whether this answers the ping that followed a malformed message. A batch is answered with a list."""
    return isinstance(answer, dict) and answer.get("id") == "after"


async def half_open_sockets(target: Target) -> AsyncIterator[None]:
    """Handshakes that do not end, on HALF_OPEN connections."""
    async with AsyncExitStack() as opened:
        for _ in range(HALF_OPEN):
            bare = await opened.enter_async_context(raw_socket(target.sockets))
            await bare.send(handshake(target.sockets)[:-3])
            yield
        await asyncio.Event().wait()


ATTACKS: dict[str, Attack] = {
    "malformed requests": malformed_bodies,
    "bodies of 4 MB that are refused": large_bodies,
    "ids of others": ids_of_others,
    "costly filters": costly_filters,
    f"{HALF_OPEN} half-open requests": half_open_requests,
    f"{STALLED_READERS} streams that nobody reads": stalled_readers,
    "frames against the protocol": frames_against_the_protocol,
    "malformed messages": malformed_messages,
    f"{HALF_OPEN} half-open handshakes": half_open_sockets,
}


@dataclass(frozen=True, slots=True)
class Noticed:
    """`sent`: requests, messages or connections of the attack. Waits of the others are in milliseconds."""

    attack: str
    sent: int
    before_p50: float
    before_p99: float
    during_p50: float
    during_p99: float
    run_before_p99: float
    run_during_p99: float


async def attack(name: str, target: Target, seconds: float) -> int:
    """Attack until the time is over. Return how much was sent."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), contextlib.aclosing(ATTACKS[name](target)) as attacks:
            async for _ in attacks:
                sent += 1
    return sent


async def measure(names: list[str], seconds: float) -> list[Noticed]:
    async with _server() as (server, sockets):
        thread = (await _post(server, "/threads", {}))["thread_id"]
        await _post(server, "/runs/wait", {"assistant_id": "echo", "input": {"text": 1}})
        return [await _noticed(server, sockets, thread, name, seconds) for name in names]


async def _noticed(server: LiveServer, sockets: int, thread: str, name: str, seconds: float) -> Noticed:
    with observe(server.port, []) as before:
        await asyncio.sleep(seconds / 2)
    command = [sys.executable, "-m", "benchmarks.attacks", "--attack", name, "--seconds", str(seconds)]
    ports = ["--web", str(server.port), "--sockets", str(sockets), "--thread", thread]
    with observe(server.port, []) as during:
        attacker = await asyncio.create_subprocess_exec(*command, *ports, stdout=subprocess.PIPE)
        said, _ = await attacker.communicate()
    server.check_alive()
    waits = [each * 1e3 for each in (median(before.waits), p99(before.waits), median(during.waits), p99(during.waits))]
    return Noticed(name, int(said), *waits, p99(before.runs) * 1e3, p99(during.runs) * 1e3)


async def _post(server: LiveServer, path: str, body: object) -> dict[str, str]:
    async with server.http() as http:
        return dict((await http.post(path, json=body)).raise_for_status().json())


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[LiveServer, int]]:
    """A web process, a worker, and the port of a sockets process."""
    with postgres_server() as postgres, tempfile.TemporaryDirectory() as folder:
        template = await make_template(postgres)
        async with (
            fresh_database(postgres, template) as url,
            live_server(url, AGENTHALL_LOG_LEVEL="WARNING") as server,
        ):
            log = Path(folder) / "sockets.log"
            sockets = SocketsProcess(server.environment, log, AGENTHALL_DEV_TENANT=ORGANIZATION)
            try:
                await sockets.ready()
                yield server, sockets.port
            finally:
                sockets.kill()


def table(found: list[Noticed]) -> Table:
    shown = Table("attack", "sent", "/livez p50 before", "p99", "p50 during", "p99", "run p99 before", "during")
    for each in found:
        name, sent, *waits = asdict(each).values()
        shown.add_row(name, f"{sent:,}", *(f"{wait:.1f} ms" for wait in waits))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.attacks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each attack")
    parser.add_argument("--only", help="names, separated by commas")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    for name in ("--web", "--sockets", "--thread"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        print(asyncio.run(_attacker(options)))
        return
    names = options.only.split(",") if options.only else list(ATTACKS)
    found = asyncio.run(measure(names, options.seconds))
    if options.json:
        print(orjson.dumps([asdict(each) for each in found]).decode())
    else:
        Console(width=140).print(table(found))


async def _attacker(options: argparse.Namespace) -> int:
    headers = {"x-organization-id": ORGANIZATION, "content-type": "application/json"}
    url = f"http://127.0.0.1:{options.web}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT) as http:
        target = Target(http, int(options.web), int(options.sockets), options.thread)
        return await attack(options.attack, target, options.seconds)


if __name__ == "__main__":
    main()
