"""The middleware of an app around its own router, and around the server's routes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from robyn_server.web.asgi.host import AppHost
from robyn_server.web.asgi.middleware import middleware_names
from robyn_server.web.asgi.protocol import App, Receive, Scope, Send
from robyn_server.web.asgi.scope import AppRequest
from robyn_server.web.asgi.sending import send_response
from robyn_server.web.http.messages import Response


async def stamp(request: Any, call_next: Any) -> Any:
    answer = await call_next(request)
    answer.headers["x-stamp"] = "1"
    return answer


async def own(_request: Any) -> PlainTextResponse:
    return PlainTextResponse("of the app")


async def inner(_ended: asyncio.Event, router: App, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/own":
        await router(scope, receive, send)
    else:
        await send_response(Response(404, b"of the server", media_type="text/plain"), send)


def starlette_app() -> Starlette:
    return Starlette(routes=[Route("/own", own)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=stamp)])


def fastapi_app() -> FastAPI:
    app = FastAPI(routes=[Route("/own", own)])
    app.middleware("http")(stamp)
    return app


async def ask(host: AppHost, path: str, *, is_inner: bool = True) -> tuple[int, bytes, bool]:
    answer = await host.call(AppRequest("GET", path, (), (), b"", "the-id"), inner if is_inner else None).answer()
    assert isinstance(answer, Response)
    return answer.status, answer.body, ("x-stamp", "1") in answer.headers


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
async def test_middleware_surrounds_the_router_and_the_server(make: Any) -> None:
    app = make()
    host = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=1)
    assert host.middleware == ["stamp"]
    await host.start()
    assert await ask(host, "/own") == (200, b"of the app", True)
    assert await ask(host, "/other") == (404, b"of the server", True)
    assert await ask(host, "/own", is_inner=False) == (200, b"of the app", True)
    await host.stop()
    again = AppHost(app, "x:app", ("127.0.0.1", 1), heartbeat_seconds=60, stop_seconds=1)
    assert again.middleware == ["stamp"] and len(app.user_middleware) == 2, "the innermost is added once"


def test_middleware_is_named_by_its_class_or_its_function() -> None:
    async def stamp(_request: Any, _call_next: Any) -> Any: ...

    app = Starlette(middleware=[Middleware(GZipMiddleware), Middleware(BaseHTTPMiddleware, dispatch=stamp)])
    assert middleware_names(app) == ["GZipMiddleware", "stamp"]
