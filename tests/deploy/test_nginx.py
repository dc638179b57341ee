"""The real server behind the real nginx, configured by deploy/nginx.conf: one origin, over TLS."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from databases import fresh_database
from network.echo_server import request_head, unused_port
from network.sse_client import open_stream
from network.websocket_client import dial
from nginx_proxy import NGINX, NginxProxy, nginx_proxy
from servers.live_server import LiveServer, Process, accepts, live_server, until
from users.demo_users import HARBOUR, SECRET, bearer
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx, or none of 1.22 or newer")

COUNTING: dict[str, Any] = {"until": 1_000_000, "delay": 0.05}
FOR_EVER = {"assistant_id": "counter", "input": COUNTING}
LIMIT = 4 * 1024 * 1024
INSTANCE = {"agent_id": "ide-agent", "name": "IDE", "instance_id": "laptop-1", "capabilities": ["edit"]}


@dataclass(frozen=True)
class Deployment:
    """All that a machine runs: web, worker and sockets, with nginx before them."""

    server: LiveServer
    sockets: Process
    sockets_port: int
    proxy: NginxProxy

    @property
    def web(self) -> Process:
        return self.server.webs[0]

    def dial(self, **options: Any) -> Any:
        options.setdefault("headers", bearer("ada", HARBOUR))
        return dial(self.proxy.sockets_url, ssl=self.proxy.tls, **options)

    def check_alive(self) -> None:
        assert self.sockets.popen.poll() is None, self.sockets.read_log()[-3000:]

    async def up(self) -> None:
        """Until the sockets process takes connections."""
        async with httpx.AsyncClient() as http:

            async def takes() -> bool:
                self.check_alive()
                return accepts(self.sockets_port) and (await http.get(self._probe)).status_code == 200

            await until(takes)

    @property
    def _probe(self) -> str:
        return f"http://127.0.0.1:{self.sockets_port}/ok"


@pytest.fixture(scope="module")
async def deployed(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    port, sockets_port = unused_port(), unused_port()
    settings: dict[str, Any] = {
        "AUTH_MODE": "jwt",
        "AUTH_JWT_SECRET": SECRET,
        "AGENTHALL_BEHIND_PROXY": "1",
        "AGENTHALL_SOCKETS_PORT": str(sockets_port),
        "AGENTHALL_SOCKETS_URL": f"wss://127.0.0.1:{port}/ws",
    }
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as server:
        sockets = Process("sockets", server.environment, tmp_path_factory.mktemp("deployed") / "sockets.log")
        try:
            async with nginx_proxy(server.port, sockets_port, port=port) as front:
                found = Deployment(server, sockets, sockets_port, front)
                await found.up()
                yield found
        finally:
            sockets.kill(signal.SIGTERM)
            await sockets.ended()


@pytest.fixture(scope="module")
async def http(deployed: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    async with deployed.proxy.http(bearer("ada", HARBOUR)) as opened_client:
        yield opened_client


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    return str((await http.post("/threads", json={})).raise_for_status().json()["thread_id"])


async def _status(http: httpx.AsyncClient, run: str) -> str:
    return str((await http.get(run)).raise_for_status().json()["status"])


async def test_a_run_of_the_sdk_streams_while_it_runs(deployed: Deployment) -> None:
    async with deployed.proxy.sdk(bearer("ada", HARBOUR)) as client:
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


async def test_the_offline_agent_answers_the_sdk(deployed: Deployment) -> None:
    question: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    async with deployed.proxy.sdk(bearer("ada", HARBOUR)) as client:
        parts = [part async for part in client.runs.stream(None, "agent", input=question, stream_mode="messages-tuple")]
    assert len([part for part in parts if part.event == "messages"]) > 2


async def test_white_space_of_a_wait_comes_while_the_run_runs(http: httpx.AsyncClient, thread: str) -> None:
    async with http.stream("POST", f"/threads/{thread}/runs/wait", json=FOR_EVER) as answer:
        run = answer.headers["content-location"].removesuffix("/join")
        assert (await anext(answer.aiter_raw())).strip() == b""
        assert await _status(http, run) == "running"
        (await http.post(f"{run}/cancel")).raise_for_status()


async def test_a_stream_that_is_left_cancels_its_run(http: httpx.AsyncClient, thread: str) -> None:
    body = FOR_EVER | {"on_disconnect": "cancel", "stream_mode": "custom"}
    async with open_stream(http, "POST", f"/threads/{thread}/runs/stream", json=body) as stream:
        run = stream.headers["content-location"]
        assert await stream.next() is not None

    async def is_cancelled() -> bool:
        return await _status(http, run) == "interrupted"

    await until(is_cancelled)


async def test_what_happens_to_instances_can_be_watched(deployed: Deployment, http: httpx.AsyncClient) -> None:
    async with open_stream(http, "GET", "/agents/watch") as watch, deployed.dial() as instance:
        begun = await watch.next()
        registered = await instance.ask("agent.register", **INSTANCE | {"instance_id": "watched"})
        told = await watch.next()
        await instance.ask("agent.deregister")
    assert begun is not None and begun.name == "watching"
    assert told is not None and registered["registration_id"] in str(told.data)


async def test_info_names_the_websockets_of_this_origin(deployed: Deployment, http: httpx.AsyncClient) -> None:
    assert (await http.get("/info")).json()["sockets_url"] == deployed.proxy.sockets_url


async def test_an_instance_registers_through_ws(deployed: Deployment) -> None:
    async with deployed.dial(subprotocols=["mcp.v1"]) as instance:
        assert instance.socket.subprotocol == "mcp.v1"
        registered = await instance.ask("agent.register", **INSTANCE)
        assert registered["instance_id"] == "laptop-1"
        await instance.ask("agent.heartbeat", health="degraded")
        listed = str(await instance.ask("agent.list"))
        assert registered["registration_id"] in listed
        assert "degraded" in listed
        await instance.ask("agent.deregister")


async def test_ws_refuses_whoever_has_a_wrong_token(deployed: Deployment) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with deployed.dial(headers={"authorization": "Bearer nonsense"}):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, 1006), (signal.SIGTERM, 1012)], ids=["killed", "drained"]
)
async def test_instances_come_back_when_the_sockets_process_was_restarted(
    deployed: Deployment, number: int, code: int
) -> None:
    async with deployed.dial() as instance:
        before = await instance.ask("agent.register", **INSTANCE)
        deployed.sockets.kill(number)
        assert await instance.close_code() == code
    await deployed.sockets.ended()
    with pytest.raises(InvalidStatus) as refused:
        async with deployed.dial():
            pass
    assert refused.value.response.status_code == 502
    deployed.sockets.start()
    await _until_let_in(deployed)
    async with deployed.dial() as instance:
        after = await instance.ask("agent.register", **INSTANCE)
        await instance.ask("agent.deregister")
    assert after["registration_id"] == before["registration_id"]
    assert after["epoch"] > before["epoch"]
    assert not after["is_new"]


async def _until_let_in(deployed: Deployment) -> None:
    """As a client does that was cut off: it knocks again while the answer is that the server is away."""

    async def is_let_in() -> bool:
        try:
            async with deployed.dial():
                return True
        except InvalidStatus as refused:
            deployed.check_alive()
            return refused.response.status_code not in {502, 503}

    await until(is_let_in)


async def test_a_web_process_that_was_restarted_is_asked_again(deployed: Deployment, http: httpx.AsyncClient) -> None:
    assert (await http.get("/ok")).status_code == 200
    deployed.web.kill()
    await deployed.web.ended()
    away = await http.get("/ok")
    assert (away.status_code, away.json()["code"]) == (502, "unavailable")
    deployed.web.start()
    await deployed.server.ready()
    assert (await http.post("/threads", json={})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\nx\r\n", b"fffffffffffffffff\r\nx", b"3\r\nabcdef\r\n0\r\n\r\n", b"\r\n\r\n"],
)
@pytest.mark.parametrize("path", ["/threads", "/poison"])
async def test_a_malformed_chunk_is_400_and_never_reaches_the_web_process(
    deployed: Deployment, http: httpx.AsyncClient, path: str, body: bytes
) -> None:
    pid = deployed.web.popen.pid
    mark = f"poisoned-{path[1:]}-{body.hex()[:8]}"
    answer = await deployed.proxy.send_raw(
        request_head(path, "Transfer-Encoding: chunked", f"X-Request-Id: {mark}") + body
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert mark.encode() in answer
    assert (await http.get("/ok")).status_code == 200
    assert (deployed.web.popen.poll(), deployed.web.popen.pid) == (None, pid)
    await until(lambda: mark in deployed.proxy.log)
    assert mark not in deployed.web.read_log()


async def test_a_length_beside_chunks_is_400(deployed: Deployment) -> None:
    head = request_head("/threads", "Transfer-Encoding: chunked", "Content-Length: 5")
    assert (await deployed.proxy.send_raw(head + b"0\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_chunked_body_arrives_whole(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"metadata":', b'{"by":"pieces"}', b"}"):
            yield piece

    answer = await http.post("/threads", content=pieces(), headers={"content-type": "application/json"})
    assert answer.json()["metadata"]["by"] == "pieces"


async def test_a_body_over_the_limit_is_413_before_it_is_sent(deployed: Deployment) -> None:
    answer = await deployed.proxy.send_raw(request_head("/threads", f"Content-Length: {LIMIT + 1}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_that_is_sent_all_the_same_is_413(
    deployed: Deployment, http: httpx.AsyncClient, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 65536 + 1):
            yield b" " * 65536

    mark = f"too-large-{chunked}"
    content = pieces() if chunked else b" " * (LIMIT + 1)
    answer = await http.post("/threads", content=content, headers={"x-request-id": mark})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["request_id"] == mark
    assert mark not in deployed.web.read_log()


async def test_a_body_of_just_the_limit_reaches_the_server(http: httpx.AsyncClient) -> None:
    answer = await http.post("/no/such/path", content=b" " * LIMIT)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Not Found")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
async def test_who_says_to_come_from_loopback_is_asked_for_credentials_all_the_same(
    deployed: Deployment, header: str
) -> None:
    async with deployed.proxy.http({header: "for=127.0.0.1" if header == "Forwarded" else "127.0.0.1"}) as http:
        assert (await http.post("/threads", json={})).status_code == 401


async def test_a_websocket_that_knocks_elsewhere_gets_an_answer(deployed: Deployment) -> None:
    answer = await deployed.proxy.send_raw(
        request_head("/runs", "Upgrade: websocket", "Sec-WebSocket-Key: x", method="GET")
    )
    assert answer.startswith(b"HTTP/1.1 4")


async def test_plain_http_is_sent_to_https(deployed: Deployment) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{deployed.proxy.plain_port}/ok?check_db=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://agents.example.com/ok?check_db=1"


async def test_http2_is_offered(deployed: Deployment) -> None:
    tls = deployed.proxy.tls
    tls.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", deployed.proxy.port, ssl=tls)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.close()


async def test_a_request_id_goes_through_and_comes_back(deployed: Deployment, http: httpx.AsyncClient) -> None:
    answer = await http.get("/info", headers={"x-request-id": "from-afar-1"})
    assert answer.headers["x-request-id"] == "from-afar-1"

    await until(lambda: "from-afar-1" in deployed.web.read_log())
    await until(lambda: "from-afar-1" in deployed.proxy.log)


async def test_tickets_are_not_in_the_log(deployed: Deployment, http: httpx.AsyncClient) -> None:
    answer = await http.get("/ws?ticket=top-secret", headers={"x-request-id": "with-ticket"})
    assert answer.status_code in {401, 426}
    await until(lambda: "with-ticket" in deployed.proxy.log)
    assert "top-secret" not in deployed.proxy.log
