"""A server with the real edge on the real Robyn, and routes that show what the edge does. Run as a script."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

import structlog
from pydantic import BaseModel, Field

from robyn_server.core.access.permissions import Operation
from robyn_server.core.errors import Misconfigured, Unavailable
from robyn_server.settings import load_settings
from robyn_server.web.http import sse
from robyn_server.web.http.messages import JSON, Request, Response, Sink, Stream, json_response
from robyn_server.web.http.routing import RouteTable
from robyn_server.web.robyn.server import run

routes = RouteTable(tag="Sample", operation=Operation.APP_USE)


class Services:
    """State of the routes: a pool of three, like database connections, and the ends of streams."""

    def __init__(self) -> None:
        self.pool = asyncio.Semaphore(3)
        self.ends: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.slow_started = 0

    async def check_database(self) -> None:
        raise Unavailable("the database does not answer")


class Page(BaseModel):
    limit: int = Field(10, le=1000)


@routes.get("/hello", summary="Hello")
async def hello(_services: Services, _request: Request) -> Response:
    return json_response(b'{"hello":"world"}')


@routes.get("/echo/{name}", summary="What the edge understood")
async def echo(_services: Services, request: Request) -> Response:
    query = {"q": request.query.get_all("q"), "limit": request.query.integer("limit", 10, 0, 100)}
    return json_response({"name": request.path_params["name"], "query": query, "method": request.method})


@routes.post("/json", summary="The body, parsed and printed again")
async def json_body(_services: Services, request: Request) -> Response:
    return json_response(request.json())


@routes.post("/page", summary="A body with a model", body=Page)
async def page(_services: Services, _request: Request, body: Page) -> Response:
    return json_response(body.model_dump(), status=201)


@routes.get("/broken", summary="A bug")
async def broken(_services: Services, _request: Request) -> Response:
    raise RuntimeError("a secret detail")


@routes.get("/logs/{name}", summary="Logs its name before and after another task has run")
async def logs_twice(_services: Services, request: Request) -> Response:
    name = request.path_params["name"]
    structlog.get_logger("robyn_server.sample").info("before", name=name)
    await asyncio.sleep(0)
    await asyncio.to_thread(logging.getLogger("library").warning, "after %s", name)
    return json_response({})


@routes.get("/slow", summary="Answers after a second")
async def slow(services: Services, _request: Request) -> Response:
    services.slow_started += 1
    await asyncio.sleep(1.0)
    return json_response({"slow": "done"})


@routes.get("/state", summary="Counts")
async def state(services: Services, _request: Request) -> Response:
    return json_response({"ends": services.ends, "slow_started": services.slow_started})


@routes.get("/count/{items}", summary="Events, then the end", streams=True)
async def count(_services: Services, request: Request) -> Stream:
    items = int(request.path_params["items"])

    async def produce(sink: Sink) -> None:
        for number in range(items):
            await sink.put(sse.frame("count", {"n": number}, str(number)))

    return Stream(produce, headers=(("x-run", "1"),))


@routes.get("/idle", summary="One event, then silence; holds one of three places of a pool", streams=True)
async def idle(services: Services, request: Request) -> Stream:
    pooled = request.query.boolean("pooled")
    resumable = request.query.boolean("resumable")

    async def produce(sink: Sink) -> None:
        if pooled:
            async with asyncio.timeout(10), services.pool:
                await _idle(services, sink)
        else:
            await _idle(services, sink)

    return Stream(produce, resumable=resumable)


async def _idle(services: Services, sink: Sink) -> None:
    try:
        await sink.put(sse.frame("first", {}))
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)  # fails in a generator that another thread closes
        assert asyncio.get_running_loop() is services.loop
        services.ends.append(str(sink.end))


@routes.get("/flood", summary="More than any reader wants", streams=True)
async def flood(services: Services, _request: Request) -> Stream:
    async def produce(sink: Sink) -> None:
        try:
            while True:
                await sink.put(b"data: " + b"x" * 65_536 + b"\r\n\r\n")
        finally:
            services.ends.append(str(sink.end))

    return Stream(produce)


@routes.post("/wait", summary="JSON after a silence", streams=True)
async def wait(_services: Services, request: Request) -> Stream:
    seconds = float(request.query.get("seconds", "1") or 1)

    async def produce(sink: Sink) -> None:
        await asyncio.sleep(seconds)
        await sink.put(b'{"waited":true}')

    return Stream(produce, media_type=JSON, heartbeat=sse.WAIT_HEARTBEAT)


@routes.get("/failing", summary="A stream whose producer has a bug", streams=True)
async def failing(_services: Services, _request: Request) -> Stream:
    async def produce(sink: Sink) -> None:
        await sink.put(sse.frame("first", {}))
        raise RuntimeError("in the producer")

    return Stream(produce)


routes.not_offered("GET", "/crons/{cron_id}", "Get a cron")


class Application:
    """The application that `build` creates."""

    def __init__(self, services: Services) -> None:
        self.routes = routes
        self.services: Any = services

    async def start(self) -> None:
        match os.environ.get("SAMPLE_START"):
            case "misconfigured":
                raise Misconfigured("DATABASE_URL is not set", field="DATABASE_URL")
            case "broken":
                raise RuntimeError("no such luck")
            case "never":
                await asyncio.Event().wait()
            case _:
                return

    async def stop(self) -> None:
        sys.stderr.write("application stopped\n")

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        return True, {"sample": "ready"}


async def build() -> Application:
    return Application(Services())


def on_ready() -> None:
    sys.stderr.write(f"ready argv={sys.argv[1:]}\n")


if __name__ == "__main__":
    run(
        load_settings(),
        build,
        on_ready,
        share_port=bool(os.environ.get("SAMPLE_SHARE_PORT")),
        stall_seconds=float(os.environ.get("SAMPLE_STALL_SECONDS", "30")),
    )
