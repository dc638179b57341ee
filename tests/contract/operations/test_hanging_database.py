"""A server whose database hangs: connections stay open, and no answer comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from databases import fresh_database
from network.faulty_proxy import PostgresProxy
from servers.live_server import LiveServer, live_server, until
from servers.sockets_process import SocketsProcess

from robyn_server.web.routes import all_routes

SECONDS = 2.0
"""The deadline of a request."""
SLACK = 6.0
"""More than a request needs to give its connection back. A lease lasts 15 s."""

_RUN = {"assistant_id": "echo", "input": {}}
_JOB = {"registration_id": str(uuid4()), "epoch": 1, "attempt": 1}
_BODIES: dict[str, Any] = {
    "/connections": {"url": "https://mcp.example.com/mcp"},
    "/assistants": {"graph_id": "echo"},
    "/assistants/{assistant_id}": {"name": "new"},
    "/assistants/{assistant_id}/latest": {"version": 1},
    "/agents/configurations/{agent_id}": {"name": "new"},
    "/agents/instances": {"agent_id": "hanging", "instance_id": "one"},
    "/agents/instances/{registration_id}": {"epoch": 1, "zone": "eu"},
    "/agents/instances/{registration_id}/drain": {"epoch": 1},
    "/agents/instances/{registration_id}/heartbeat": {"epoch": 1},
    "/agents/instances/{registration_id}/jobs/claim": {"epoch": 1, "wait_seconds": 1},
    "/agents/jobs/{job_id}/accept": _JOB,
    "/agents/jobs/{job_id}/reject": _JOB,
    "/agents/jobs/{job_id}/extend": _JOB,
    "/agents/jobs/{job_id}/events": {**_JOB, "first_seq": 1, "events": [{"event": "token", "data": "a"}]},
    "/agents/jobs/{job_id}/finish": {**_JOB, "result": None},
    "/runs/batch": [_RUN],
    "/runs/cancel": {"status": "pending"},
    "/store/items": {"namespace": ["a"], "key": "k", "value": {}},
    "/connections/callback": {"state": "none", "code": "x"},
    "/keys": {"organizations": [str(uuid4())]},
    "/threads/prune": {"thread_ids": [str(uuid4())]},
    "/threads/{thread_id}/state/checkpoint": {"checkpoint": {"checkpoint_id": str(uuid4())}},
}


@dataclass
class HangingServer:
    server: LiveServer
    sockets: SocketsProcess
    proxy: PostgresProxy


@pytest.fixture(scope="module")
async def hanging(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HangingServer]:
    async with fresh_database(postgres, template) as url, PostgresProxy(url).serving() as proxy:
        settings = {"AGENTHALL_REQUEST_TIMEOUT": str(SECONDS), "AGENTHALL_DEV_TENANT": str(uuid4())}
        async with live_server(proxy.url, workers=0, **settings) as server:
            sockets = SocketsProcess(server.environment, tmp_path_factory.mktemp("sockets") / "log")
            await sockets.ready()
            yield HangingServer(server, sockets, proxy)
            sockets.kill()
            await sockets.ended()


def _routes() -> list[tuple[str, str]]:
    """The built routes that ask the database, as methods and patterns of paths. /agents/watch is an endless stream."""
    skipped = {
        "/",
        "/ok",
        "/livez",
        "/me",
        "/info",
        "/docs",
        "/console",
        "/console/{path}",
        "/docs/{file}",
        "/openapi.json",
        "/metrics",
        "/agents/sync",
        "/doctor",  # asked in a process of its own, with its own deadline
        "/agents/watch",
        "/keys/{prefix}",
        "/keys/{prefix}/rotate",
    }
    built = [route for route in all_routes() if not route.not_built and route.path not in skipped]
    return [(route.method, route.path) for route in built]


async def _call(http: httpx.AsyncClient, method: str, path: str) -> tuple[str, int, float, str | None]:
    """The request, its status, its seconds, and Retry-After."""
    filled = "/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/"))
    filled = filled.replace("/agents/configurations/", "/agents/configurations/a-").replace(
        "manifests/", "manifests/a-"
    )
    body = _RUN if path.endswith(("/runs", "/runs/stream", "/runs/wait")) else _BODIES.get(path, {})
    params = {"epoch": "1"} if (method, path.count("/")) == ("DELETE", 3) and "instances" in path else {}
    if (method, path) == ("GET", "/store/items"):
        params = {"namespace": "a", "key": "k"}
    sends = {} if method == "GET" or (method == "DELETE" and path != "/store/items") else {"json": body}
    started = time.monotonic()
    answer = await http.request(method, filled, params=params, timeout=4 * SLACK, **sends)
    return f"{method} {path}", answer.status_code, time.monotonic() - started, answer.headers.get("retry-after")


async def test_every_route_is_503_in_time_while_the_database_hangs_and_works_afterwards(hanging: HangingServer) -> None:
    async with hanging.server.http() as http:
        routes = _routes()
        assert len(routes) > 30
        with hanging.proxy.frozen():
            answers: Iterable[Any] = await asyncio.gather(
                *(_call(http, *route) for route in routes), return_exceptions=True
            )
            assert not [each for each in answers if isinstance(each, Exception)]
            late = [each for each in answers if each[2] > SECONDS + SLACK]
            other = [each for each in answers if each[1] != 503 or each[3] is None]
            assert (late, other) == ([], [])
        await until(lambda: _is_ok(http))
        assert (await http.get("/agents/instances")).status_code == 200


async def test_readiness_tells_of_a_database_that_hangs_and_liveness_does_not(hanging: HangingServer) -> None:
    sockets_url = f"http://127.0.0.1:{hanging.sockets.port}"
    async with hanging.server.http() as http:
        with hanging.proxy.frozen():
            await until(lambda: _is_unready(http, "/ok"))
            await until(lambda: _is_unready(http, f"{sockets_url}/ok"))
            told = (await http.get("/ok")).json()
            assert (told["ok"], told["services"]["database"]) == (False, {"ok": False})
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get(f"{sockets_url}/livez")).status_code == 200
        await until(lambda: _is_ok(http))
        assert (await http.get("/ok")).json()["services"]["database"] == {"ok": True}


async def _is_ok(http: httpx.AsyncClient) -> bool:
    return (await http.get("/ok")).status_code == 200


async def _is_unready(http: httpx.AsyncClient, url: str) -> bool:
    return (await http.get(url)).status_code == 503
