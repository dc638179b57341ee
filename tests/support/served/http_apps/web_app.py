"""The Starlette app of a project: routes of its own, middleware, and a lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

released = asyncio.Event()
seen: list[str] = []
"""Events apart from answers."""


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "hi"}
    _write_seen()


def _write_seen() -> None:
    if "HTTP_APP_STOPPED" in os.environ:
        Path(os.environ["HTTP_APP_STOPPED"]).write_text(" ".join(seen))


class Stamp:
    """Plain ASGI middleware that adds a header."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", b"1")]
            await send(message)

        await self.app(scope, receive, stamped)


async def hello(request: Request) -> Response:
    user = str(request.user.identity) if "user" in request.scope else None
    return JSONResponse({"greeting": request.state.greeting, "user": user, "id": request.headers["x-request-id"]})


@requires("letters:write")
async def write(request: Request) -> Response:
    return JSONResponse({"identity": request.user.identity, "permissions": request.auth.scopes})


async def home(_request: Request) -> Response:
    return PlainTextResponse("the app's home")


async def boom(_request: Request) -> Response:
    raise LookupError("the bug of the app")


async def echo(request: Request) -> Response:
    body = await request.body()
    fields = ("method", "path", "root_path", "scheme", "http_version")
    return JSONResponse(
        {
            **{name: request.scope[name] for name in fields},
            "raw_path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in request.scope["headers"]],
            "client": request.scope["client"][0],
            "port": request.scope["server"][1],
            "body": body.hex() if len(body) < 100 else len(body),
        }
    )


async def events(_request: Request) -> Response:
    async def produce() -> AsyncIterator[str]:
        yield "data: one\n\n"
        await released.wait()
        yield "data: two\n\n"

    return StreamingResponse(produce(), media_type="text/event-stream")


async def watch(_request: Request) -> Response:
    async def produce() -> AsyncIterator[str]:
        try:
            yield "data: one\n\n"
            await asyncio.Event().wait()
        finally:
            seen.append("left")

    return StreamingResponse(produce(), media_type="text/event-stream")


async def broken(_request: Request) -> Response:
    async def produce() -> AsyncIterator[str]:
        yield "data: one\n\n"
        raise LookupError("the bug of the stream")

    return StreamingResponse(produce(), media_type="text/event-stream")


async def release(_request: Request) -> Response:
    released.set()
    return Response(status_code=204)


async def history(_request: Request) -> Response:
    return JSONResponse(seen)


async def later(_request: Request) -> Response:
    async def work() -> None:
        await released.wait()
        seen.append("worked")

    return PlainTextResponse("accepted", status_code=202, background=BackgroundTask(work))


async def form(request: Request) -> Response:
    async with request.form() as given:
        file = given["file"]
        assert isinstance(file, UploadFile)
        sent = [file.filename, file.content_type, (await file.read()).hex()]
        return JSONResponse({"title": given["title"], "file": sent})


async def cookies(_request: Request) -> Response:
    answer = PlainTextResponse("ok")
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


async def file(_request: Request) -> Response:
    return FileResponse(os.environ["HTTP_APP_FILE"])


async def own_origins(request: Request) -> Response:
    origin = request.headers.get("origin", "")
    headers = {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}
    return PlainTextResponse("ok", headers=headers)


async def static(request: Request) -> Response:
    return PlainTextResponse(request.path_params["name"])


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(Stamp)],
    routes=[
        Route("/", home),
        Route("/info", home),
        Route("/ok", home),
        Route("/hello", hello),
        Route("/letters", write, methods=["POST"]),
        Route("/boom", boom),
        Route("/echo/{rest:path}", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        Route("/slash/", echo),
        Route("/events", events),
        Route("/watch", watch),
        Route("/broken", broken),
        Route("/release", release, methods=["POST"]),
        Route("/history", history),
        Route("/later", later, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/cookies", cookies),
        Route("/file", file),
        Route("/origins", own_origins, methods=["GET", "OPTIONS"]),
        Route("/threads/{thread_id}/summary", hello),
        Route("/threads/search", home, methods=["GET"]),
        Mount("/static", routes=[Route("/{name:path}", static)]),
    ],
)
