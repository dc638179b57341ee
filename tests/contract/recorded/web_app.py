"""The app of the recorded exchanges about custom routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def hello(request: Request) -> JSONResponse:
    return JSONResponse({"hello": "world", "user": str(request.user)})


async def boom(_request: Request) -> JSONResponse:
    raise RuntimeError("a bug of the app")


app = Starlette(routes=[Route("/hello", hello), Route("/boom", boom)])
