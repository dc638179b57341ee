"""The whole server of `serve` behind the proxy that it starts, attacked and used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psutil
import pytest
from databases import fresh_database
from network.chunked_bodies import MALFORMED, VALID
from network.echo_server import request_head
from network.sse_client import open_stream
from network.websocket_client import dial
from servers.caddy_proxy import send_endless, send_raw
from servers.live_server import until
from servers.proxied_server import HOST, ProxiedServer, proxied_server
from users.demo_users import HARBOUR, SECRET, bearer

from robyn_server.supervisor.address_file import find_running_server

pytestmark = pytest.mark.server

COUNTING: dict[str, Any] = {"until": 1_000_000, "delay": 0.05}
HALF_OPEN = 500


@pytest.fixture(scope="module")
async def served(postgres: str, template: str) -> AsyncIterator[ProxiedServer]:
    settings = {"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}
    async with fresh_database(postgres, template) as url, proxied_server(url, **settings) as server:
        yield server


@pytest.fixture
async def http(served: ProxiedServer) -> AsyncIterator[httpx.AsyncClient]:
    async with served.http(bearer("ada", HARBOUR)) as client:
        yield client


@pytest.fixture(autouse=True)
def no_abort(request: pytest.FixtureRequest, served: ProxiedServer) -> Iterator[None]:
    """No web process ends, unless the test ends it."""
    before, aborts = served.child("web").pid, served.log.count("SIGABRT")
    yield
    if "kills" not in request.node.name:
        assert served.child("web").pid == before, served.log[-3000:]
        assert served.log.count("SIGABRT") == aborts


class Bystander:
    """Another client, which asks all the time. `seconds`: the time that each of its requests took."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.seconds: list[float] = []

    async def _ask(self) -> None:
        while True:
            begun = time.monotonic()
            (await self._http.post("/threads", json={})).raise_for_status()
            self.seconds.append(time.monotonic() - begun)
            await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def during(self, attack: str) -> AsyncIterator[None]:
        """Ask while the context is open, and until some requests were answered."""
        asking = asyncio.create_task(self._ask())
        try:
            yield
            await until(lambda: asking.done() or len(self.seconds) >= 20)
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        median, worst = statistics.median(self.seconds), max(self.seconds)
        print(f"{attack}: others waited {median * 1000:.0f} ms, at most {worst * 1000:.0f} ms")  # noqa: T201


@pytest.fixture
async def bystander(http: httpx.AsyncClient) -> Bystander:
    return Bystander(http)


async def test_every_process_but_the_proxy_is_on_loopback(served: ProxiedServer) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in psutil.Process(served.process.pid).children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address for address in listening if address[0] != "127.0.0.1"} == {(HOST, served.port)}
    assert (served.folder / "data" / "proxy" / "caddy.json").exists()


async def test_commands_on_this_machine_go_past_the_proxy(served: ProxiedServer) -> None:
    """Its certificate is for a name, and theirs would be an address."""
    running = find_running_server(served.folder / "data")
    assert running is not None and running.url.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient(base_url=running.url) as http:
        assert (await http.get("/ok")).status_code == 200


async def test_the_proxy_has_no_secret(served: ProxiedServer) -> None:
    environment = served.child("caddy.json").environ()
    assert "DATABASE_URL" not in environment and "AUTH_JWT_SECRET" not in environment


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
async def test_who_says_to_come_from_loopback_is_asked_for_credentials(served: ProxiedServer, header: str) -> None:
    async with served.http({header: "for=127.0.0.1" if header == "Forwarded" else "127.0.0.1"}) as http:
        assert (await http.post("/threads", json={})).status_code == 401


async def test_the_sdk_streams_event_by_event(served: ProxiedServer) -> None:
    client = served.sdk(bearer("ada", HARBOUR))
    thread = (await client.threads.create())["thread_id"]
    counted, run_id = [], ""
    async for part in client.runs.stream(
        thread, "counter", input=COUNTING, stream_mode="custom", on_disconnect="continue"
    ):
        run_id = run_id or part.data["run_id"]
        counted += [part.data["at"]] if part.event == "custom" else []
        if len(counted) == 3:
            assert (await client.runs.get(thread, run_id))["status"] == "running"
            await client.runs.cancel(thread, run_id, wait=True)
            break
    assert counted == [1, 2, 3]


async def test_the_offline_agent_answers_the_sdk(served: ProxiedServer) -> None:
    question: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    client = served.sdk(bearer("ada", HARBOUR))
    parts = [part async for part in client.runs.stream(None, "agent", input=question, stream_mode="messages-tuple")]
    assert len([part for part in parts if part.event == "messages"]) > 2


async def test_a_stream_that_is_left_cancels_its_run(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()["thread_id"]
    body = {"assistant_id": "counter", "input": COUNTING, "on_disconnect": "cancel", "stream_mode": "custom"}
    async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as stream:
        run = stream.headers["content-location"]
        assert await stream.next() is not None

    async def is_cancelled() -> bool:
        return bool((await http.get(run)).raise_for_status().json()["status"] == "interrupted")

    await until(is_cancelled)


async def test_an_instance_registers_through_ws(served: ProxiedServer, http: httpx.AsyncClient) -> None:
    assert (await http.get("/info")).json()["sockets_url"] == served.sockets_url
    async with dial(served.sockets_url, headers=bearer("ada", HARBOUR), subprotocols=["mcp.v1"]) as instance:
        assert instance.socket.subprotocol == "mcp.v1"
        registered = await instance.ask("agent.register", agent_id="ide-agent", name="IDE", instance_id="laptop-1")
        assert registered["instance_id"] == "laptop-1"
        await instance.ask("agent.deregister")


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_chunk_is_400(served: ProxiedServer, name: str) -> None:
    head = request_head("/threads", "Transfer-Encoding: chunked")
    assert (await send_raw(HOST, served.port, head + MALFORMED[name])).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("name", VALID)
async def test_a_valid_chunked_body_is_served(served: ProxiedServer, name: str) -> None:
    authorization = [f"{key}: {value}" for key, value in bearer("ada", HARBOUR).items()]
    head = request_head("/threads", "Transfer-Encoding: chunked", "Trailer: X", *authorization)
    assert (await send_raw(HOST, served.port, head + VALID[name])).startswith(b"HTTP/1.1 200 ")


async def test_bodies_that_break_off_disturb_nobody(served: ProxiedServer, bystander: Bystander) -> None:
    async def break_off(number: int) -> None:
        _, writer = await asyncio.open_connection(HOST, served.port)
        if number % 2:
            writer.write(request_head("/threads", "Transfer-Encoding: chunked") + b"ffff\r\n" + b" " * (number * 300))
        else:
            writer.write(request_head("/threads", "Content-Length: 100000") + b" " * (number * 300))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.transport.abort()

    async with bystander.during("200 bodies that break off"):
        for first in range(0, 200, 20):
            await asyncio.gather(*(break_off(first + number) for number in range(20)))


async def test_endless_bodies_are_ended_and_disturb_nobody(served: ProxiedServer, bystander: Bystander) -> None:
    memory = served.child("web").memory_info().rss
    async with bystander.during("four endless bodies"):
        answers = await asyncio.gather(*(send_endless(HOST, served.port, "/threads") for _ in range(4)))
    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 413 ") for answer in answers)
    assert served.child("web").memory_info().rss < memory + 64 * 1024 * 1024


async def test_half_open_requests_are_closed_and_disturb_nobody(served: ProxiedServer, bystander: Bystander) -> None:
    async with bystander.during(f"{HALF_OPEN} half-open requests"):
        opened = [await asyncio.open_connection(HOST, served.port) for _ in range(HALF_OPEN)]
        for number, (_, writer) in enumerate(opened):
            writer.write(b"POST /threads HTTP/1.1\r\nHost: x\r\n" if number % 2 else b"POST /thr")
        # The deadline for the headers is 10 s. Each is then ended by the proxy, with an answer or without one.
        await asyncio.gather(*(_read_to_end(reader) for reader, _ in opened))
        for _, writer in opened:
            writer.transport.abort()


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


async def test_readers_that_do_not_read_disturb_nobody(served: ProxiedServer, bystander: Bystander) -> None:
    request = request_head("/openapi.json", method="GET").replace(b"close", b"keep-alive")
    async with bystander.during("100 readers that do not read"):
        opened = [_small_window(served.port) for _ in range(100)]
        for each in opened:
            for _ in range(20):
                with contextlib.suppress(BlockingIOError):
                    each.send(request)
    for each in opened:
        each.close()


def _small_window(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.setblocking(False)
    return client


async def test_long_headers_are_431(served: ProxiedServer) -> None:
    reader, writer = await asyncio.open_connection(HOST, served.port)
    writer.write(request_head("/ok", "X-Long: " + "y" * 100_000, method="GET"))
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431 ")
    writer.transport.abort()


async def test_who_kills_the_web_process_sees_502_and_then_good(served: ProxiedServer, http: httpx.AsyncClient) -> None:
    """The next one starts at once."""
    served.child("web").send_signal(signal.SIGABRT)
    seen = set()

    async def is_back() -> bool:
        answer = await http.get("/ok")
        seen.add(answer.status_code)
        return answer.status_code == 200 and 502 in seen

    await until(is_back)
    assert seen <= {200, 502, 503}
    assert "web ended (SIGABRT); starting it again" in served.log


async def test_a_killed_proxy_is_started_again(served: ProxiedServer, http: httpx.AsyncClient) -> None:
    before = served.child("caddy.json").pid
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        with contextlib.suppress(httpx.TransportError, ValueError):
            return (await http.get("/ok")).status_code == 200 and served.child("caddy.json").pid != before
        return False

    await until(is_back)
    assert "proxy ended (SIGKILL); starting it again" in served.log
