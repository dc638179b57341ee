"""An app whose middleware runs around the server's routes, too: plain ASGI, functions, and Starlette's own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Next = Callable[[Request], Awaitable[Response]]
PREFIX = "/behind"


class Bodies:
    """Plain ASGI: writes into the input of runs. Like many, it gives the same body again to who asks twice."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or b"x-add" not in dict(scope["headers"]):
            await self.app(scope, receive, send)
            return
        body = json.loads((await receive())["body"])
        body["input"] |= json.loads(dict(scope["headers"])[b"x-add"])

        async def receive_changed() -> Any:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        await self.app(scope, receive_changed, send)


class Paths:
    """Plain ASGI: takes a prefix from the path, a parameter into the query, and a cookie into the credentials."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if scope.get("path", "").startswith(PREFIX):
            scope = scope | {"path": scope["path"].removeprefix(PREFIX)}
        if b"x-query" in headers:
            scope = scope | {"query_string": headers[b"x-query"]}
        cookie = headers.get(b"cookie", b"").decode()
        if cookie.startswith("key="):
            line = (b"x-api-key", cookie.removeprefix("key=").encode())
            scope = scope | {"headers": [*scope["headers"], line]}
        await self.app(scope, receive, send)


async def function(request: Request, call_next: Next) -> Response:
    """A function around requests, as `@app.middleware("http")` takes one."""
    if "x-refuse" in request.headers:
        return JSONResponse({"detail": "not on a Sunday"}, status_code=418)
    if "x-raise" in request.headers:
        raise LookupError("the bug of the middleware")
    user = str(request.scope["user"].identity) if "user" in request.scope else ""
    answer = await call_next(request)
    answer.headers["x-status"] = str(answer.status_code)
    answer.headers["x-user"] = user
    return answer


async def own(request: Request) -> Response:
    user = str(request.user.identity) if "user" in request.scope else None
    return PlainTextResponse(f"own {user}")


app = Starlette(
    middleware=[
        Middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_methods=["PURGE"]),
        Middleware(BaseHTTPMiddleware, dispatch=function),
        Middleware(Paths),
        Middleware(Bodies),
        Middleware(GZipMiddleware, minimum_size=2000),
    ],
    routes=[Route("/own", own)],
)
